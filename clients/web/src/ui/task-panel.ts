import { html, nothing, type PropertyValues, type TemplateResult } from 'lit'
import { customElement, property, state } from 'lit/decorators.js'
import { live } from 'lit/directives/live.js'

import { PRIORITIES, type Column, type Label, type Member } from '../entities'
import type { Card } from '../lanes'
import type { Live } from '../live'
import type { Present } from '../presence'
import type { Room } from '../room'
import { avatar } from './avatar'
import { labelView, PRIORITY } from './card'
import './checklists'
import { dayOf, endOf } from './due'
import './comments'
import { bars, bin, cross } from './icons'
import { LightElement } from './light'
import './tags'
import './task-links'

type Text = 'title' | 'description'

/** A text being typed, and what the field held when that began. */
interface Draft {
  text: string
  from: string
}

/** The side panel of one task. Fires `change-task`, `move-task`, `delete-task`, `open-task` and `close`. */
@customElement('atrium-task-panel')
export class TaskPanel extends LightElement {
  @property({ attribute: false }) card!: Card
  @property({ attribute: false }) columns: Column[] = []
  @property({ attribute: false }) members: Member[] = []
  @property({ attribute: false }) viewers: Present[] = []
  @property({ attribute: false }) live!: Live
  @property({ attribute: false }) room!: Room
  @property({ attribute: false }) revision = 0
  @property({ type: Boolean }) mayEdit = false
  @property({ type: Boolean }) mayDelete = false
  @state() private drafts: Partial<Record<Text, Draft>> = {}

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('card') && changed.get('card') && changed.get('card')!.id !== this.card.id) this.drafts = {}
  }

  protected override firstUpdated(): void {
    this.querySelector<HTMLElement>('.panel')?.focus()
  }

  #type(field: Text, text: string): void {
    const from = this.drafts[field]?.from ?? this.card[field] ?? ''
    this.drafts = { ...this.drafts, [field]: { text, from } }
  }

  #drop(field: Text): void {
    this.drafts = { ...this.drafts, [field]: undefined }
  }

  #save(field: Text): void {
    const draft = this.drafts[field]
    this.#drop(field)
    const text = draft?.text.trim()
    if (text === undefined || text === (this.card[field] ?? '') || (field === 'title' && !text)) return
    this.#change({ [field]: text })
  }

  #change(changes: Record<string, unknown>): void {
    this.dispatchEvent(new CustomEvent('change-task', { detail: changes }))
  }

  #assign(id: string, on: boolean): void {
    const others = (this.card.assignee_ids ?? []).filter((other) => other !== id)
    this.#change({ assignee_ids: on ? [...others, id] : others })
  }

  #keys(event: KeyboardEvent): void {
    if (event.key !== 'Escape') return
    event.stopPropagation()
    this.drafts = {}
    this.dispatchEvent(new Event('close'))
  }

  protected override render(): TemplateResult {
    const { card, mayEdit } = this
    return html`<aside class="panel" tabindex="-1" aria-label="${card.key || 'New card'}: ${card.title}" @keydown=${this.#keys}>
      <header class="panel-head">
        <span class="card-key">${card.key || 'Saving…'}</span>
        ${this.viewers.length ? html`<span class="viewers">${this.viewers.map((one) => avatar(one, 'looking at this'))}</span>` : nothing}
        <span class="gap"></span>
        ${this.mayDelete ? html`<button class="quiet icon-only" aria-label="Delete card" title="Delete card" @click=${() => this.dispatchEvent(new Event('delete-task'))}>${bin}</button>` : nothing}
        <button class="quiet icon-only" aria-label="Close" title="Close" @click=${() => this.dispatchEvent(new Event('close'))}>${cross}</button>
      </header>
      <div class="panel-body">
        ${this.#text('title', 'Title', 1)}
        <label class="field">Column
          <select ?disabled=${!mayEdit} @change=${(event: Event) => this.dispatchEvent(new CustomEvent('move-task', { detail: valueOf(event) }))}>
            ${this.columns.map((column) => html`<option value=${column.id} .selected=${live(column.id === card.column_id)}>${column.name}</option>`)}
          </select>
        </label>
        ${this.#priority()} ${this.#assignees()}
        <label class="field">Due
          <input type="date" .value=${live(dayOf(card.due_at))} ?disabled=${!mayEdit} @change=${(event: Event) => this.#change({ due_at: endOf(valueOf(event)) })} />
        </label>
        ${this.#labels()}
        <atrium-tags .tags=${card.tags ?? []} ?mayEdit=${mayEdit} @change-tags=${({ detail }: CustomEvent<string[]>) => this.#change({ tags: detail })}></atrium-tags>
        ${this.#text('description', 'Description', 6)}
        ${card.unborn
          ? nothing
          : html`<atrium-checklists .live=${this.live} .room=${this.room} .task=${card.id} .revision=${this.revision} ?mayEdit=${mayEdit}></atrium-checklists>
              <atrium-task-links .live=${this.live} .room=${this.room} .task=${card.id} .revision=${this.revision} ?mayEdit=${mayEdit}></atrium-task-links>
              <atrium-comments .live=${this.live} .room=${this.room} .task=${card.id} .revision=${this.revision}></atrium-comments>`}
      </div>
    </aside>`
  }

  #text(field: Text, label: string, rows: number): TemplateResult {
    const draft = this.drafts[field]
    const now = this.card[field] ?? ''
    const keys = (event: KeyboardEvent): void => {
      if (event.key !== 'Enter' || event.isComposing || (field === 'description' && !event.ctrlKey && !event.metaKey)) return
      event.preventDefault()
      ;(event.target as HTMLElement).blur()
    }
    return html`<label class="field ${field}">${label}
        <textarea
          rows=${rows}
          maxlength=${field === 'title' ? 500 : 50_000}
          placeholder=${field === 'description' && this.mayEdit ? 'Say more…' : ''}
          .value=${live(draft?.text ?? now)}
          ?readonly=${!this.mayEdit}
          @input=${(event: Event) => this.#type(field, valueOf(event))}
          @blur=${() => this.#save(field)}
          @keydown=${keys}
        ></textarea>
      </label>
      ${draft && draft.from !== now
        ? html`<p class="meanwhile" role="status">
            Somebody changed this while you were typing; yours will replace it.
            <button class="link" @mousedown=${(event: Event) => event.preventDefault()} @click=${() => this.#drop(field)}>Take theirs</button>
          </p>`
        : nothing}`
  }

  #priority(): TemplateResult {
    return html`<fieldset class="field" ?disabled=${!this.mayEdit}>
      <legend>Priority</legend>
      <div class="segments">
        ${PRIORITIES.map(
          (priority) => html`<label class="segment priority ${priority}">
            <input type="radio" name="priority" value=${priority} .checked=${live(this.card.priority === priority)} @change=${() => this.#change({ priority })} />
            <span>${bars(PRIORITY[priority].bars)}${PRIORITY[priority].name}</span>
          </label>`,
        )}
      </div>
    </fieldset>`
  }

  #labels(): TemplateResult | typeof nothing {
    const labels = this.room.store.all<Label>('labels').sort((a, b) => a.name.localeCompare(b.name))
    const worn = new Set(this.card.label_ids)
    if (!labels.length) return nothing
    return html`<fieldset class="field" ?disabled=${!this.mayEdit}>
      <legend>Labels</legend>
      <div class="tags">
        ${labels.map(
          (label) => html`<label class="person">
            <input type="checkbox" aria-label=${label.name} .checked=${live(worn.has(label.id))} @change=${(event: Event) => this.#wear(label.id, (event.target as HTMLInputElement).checked)} />
            <span>${labelView(label)}</span>
          </label>`,
        )}
      </div>
    </fieldset>`
  }

  #wear(id: string, on: boolean): void {
    const others = (this.card.label_ids ?? []).filter((other) => other !== id)
    this.#change({ label_ids: on ? [...others, id] : others })
  }

  #assignees(): TemplateResult {
    const chosen = new Set(this.card.assignee_ids)
    return html`<fieldset class="field" ?disabled=${!this.mayEdit}>
      <legend>Assignees</legend>
      <div class="people">
        ${this.members.map(
          (member) => html`<label class="person">
            <input type="checkbox" .checked=${live(chosen.has(member.id))} @change=${(event: Event) => this.#assign(member.id, (event.target as HTMLInputElement).checked)} />
            <span><i aria-hidden="true">${avatar(member, member.role)}</i>${member.name}</span>
          </label>`,
        )}
      </div>
    </fieldset>`
  }
}

function valueOf(event: Event): string {
  return (event.target as HTMLInputElement).value
}
