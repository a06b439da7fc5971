import { html, nothing, type PropertyValues, type TemplateResult } from 'lit'
import { customElement, property, state } from 'lit/decorators.js'
import { live } from 'lit/directives/live.js'
import { repeat } from 'lit/directives/repeat.js'

import type { Checklist, ChecklistItem } from '../entities'
import type { Live } from '../live'
import { byPosition } from '../order'
import type { Room } from '../room'
import { bin, cross, plus } from './icons'
import { LightElement } from './light'
import { aboutChecklists, ReadAlong } from './read-along'

/** The checklists of one task, ticked off by everybody at once. */
@customElement('atrium-checklists')
export class Checklists extends LightElement {
  @property({ attribute: false }) live!: Live
  @property({ attribute: false }) room!: Room
  @property({ attribute: false }) task = ''
  @property({ attribute: false }) revision = 0
  @property({ type: Boolean }) mayEdit = false
  @state() private lists: Checklist[] = []
  @state() private items: ChecklistItem[] = []
  readonly #along = new ReadAlong(
    () => this.#read(),
    (data) => {
      this.#take(data.checklist_item as Partial<ChecklistItem> | undefined)
      return aboutChecklists(data, this.task)
    },
  )

  override connectedCallback(): void {
    super.connectedCallback()
    this.#along.start(this.live)
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback()
    this.#along.stop()
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('task')) this.lists = this.items = []
    this.#along.draw(this.live, this.room, this.task)
  }

  async #read(): Promise<void> {
    const { task } = this
    const reply = await this.live.ask('checklist.list', { task_id: task }).catch(() => null)
    if (!reply?.success || task !== this.task) return
    this.lists = (reply.data.checklists as Checklist[]).sort(byPosition)
    this.items = (reply.data.checklist_items as ChecklistItem[]).sort(byPosition)
  }

  /** What an event says of an item counts at once; the rest is read after it. */
  #take(part: Partial<ChecklistItem> | undefined): void {
    if (part) this.items = this.items.map((item) => (item.id === part.id ? { ...item, ...part } : item))
  }

  /** Whether an item is ticked off, as it will be when all that waits is done. */
  #isDone(item: ChecklistItem): boolean {
    const last = this.live.outbox
      .drawn(this.room.name)
      .findLast(({ name, payload }) => /^checklist\.(un)?tick$/.test(name) && payload.item_id === item.id)
    return last ? last.name === 'checklist.tick' : item.done_at !== null
  }

  #ask(name: string, payload: Record<string, unknown>, doing: string): void {
    void this.live.change(`checklist.${name}`, { task_id: this.task, ...payload }, doing)
  }

  #add(event: SubmitEvent, checklist_id: string | null): void {
    event.preventDefault()
    const input = (event.target as HTMLFormElement).querySelector('input')!
    const text = input.value.trim()
    input.value = ''
    if (!text) return
    if (checklist_id) this.#ask('add_item', { checklist_id, text }, 'add the item')
    else this.#ask('create', { name: text }, 'add the checklist')
  }

  protected override render(): TemplateResult | typeof nothing {
    if (!this.mayEdit && !this.lists.length) return nothing
    return html`${repeat(this.lists, ({ id }) => id, (list) => this.#list(list))}
    ${this.mayEdit
      ? html`<form class="add-item field" @submit=${(event: SubmitEvent) => this.#add(event, null)}>
          <input aria-label="Name of a new checklist" placeholder="New checklist" maxlength="200" autocomplete="off" />
          <button class="quiet icon-only" aria-label="Add the checklist">${plus}</button>
        </form>`
      : nothing}`
  }

  #list(list: Checklist): TemplateResult {
    const items = this.items.filter(({ checklist_id }) => checklist_id === list.id)
    return html`<section class="checklist field" aria-label=${list.name}>
      <span>${list.name}
        ${this.mayEdit ? html`<button class="quiet icon-only" aria-label="Delete the checklist ${list.name}" @click=${() => this.#ask('delete', { checklist_id: list.id }, 'delete the checklist')}>${bin}</button>` : nothing}
      </span>
      <ul>${repeat(items, ({ id }) => id, (item) => this.#item(item))}</ul>
      ${this.mayEdit
        ? html`<form class="add-item" @submit=${(event: SubmitEvent) => this.#add(event, list.id)}>
            <input aria-label="New item of ${list.name}" placeholder="Add an item" maxlength="500" autocomplete="off" />
            <button class="quiet icon-only" aria-label="Add the item">${plus}</button>
          </form>`
        : nothing}
    </section>`
  }

  #item(item: ChecklistItem): TemplateResult {
    const tick = (event: Event): void =>
      this.#ask((event.target as HTMLInputElement).checked ? 'tick' : 'untick', { item_id: item.id }, 'tick the item off')
    return html`<li>
      <label><input type="checkbox" ?disabled=${!this.mayEdit} .checked=${live(this.#isDone(item))} @change=${tick} /> <span>${item.text}</span></label>
      ${this.mayEdit ? html`<button class="quiet icon-only" aria-label="Remove ${item.text}" @click=${() => this.#ask('remove_item', { item_id: item.id }, 'remove the item')}>${cross}</button>` : nothing}
    </li>`
  }
}
