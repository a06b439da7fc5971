import { html, nothing, type TemplateResult } from 'lit'
import { customElement, property } from 'lit/decorators.js'

import type { Dependency, Task } from '../entities'
import type { Live } from '../live'
import { byPosition } from '../order'
import type { Room } from '../room'
import { linksOf } from '../waits'
import { cross } from './icons'
import { LightElement } from './light'

/** How many cards the field for another one offers. */
const OFFERED = 200

/** What a task waits for and what waits for it. Fires `open-task`, which the panel lets through. */
@customElement('atrium-task-links')
export class TaskLinks extends LightElement {
  @property({ attribute: false }) live!: Live
  @property({ attribute: false }) room!: Room
  @property({ attribute: false }) task = ''
  @property({ attribute: false }) revision = 0
  @property({ type: Boolean }) mayEdit = false

  #add(select: HTMLSelectElement): void {
    const depends_on_id = select.value
    select.value = ''
    if (depends_on_id) void this.live.change('dependency.add', { task_id: this.task, depends_on_id }, 'let the card wait')
  }

  #remove(edge: Dependency): void {
    void this.live.change('dependency.remove', { task_id: edge.task_id, dependency_id: edge.id }, 'remove the dependency')
  }

  #open(id: string): void {
    this.dispatchEvent(new CustomEvent('open-task', { detail: id, bubbles: true }))
  }

  protected override render(): TemplateResult | typeof nothing {
    const { waitsFor, blocks } = linksOf(this.room.store, this.task)
    if (!this.mayEdit && !waitsFor.length && !blocks.length) return nothing
    return html`<div class="field" role="group" aria-label="Waits for">
        <span>Waits for</span>
        <ul class="linked">${waitsFor.map((edge) => this.#row(edge, edge.depends_on_id))}</ul>
        ${this.mayEdit ? this.#another(new Set([this.task, ...waitsFor.map((edge) => edge.depends_on_id)])) : nothing}
      </div>
      ${blocks.length
        ? html`<div class="field" role="group" aria-label="Blocks">
            <span>Blocks</span>
            <ul class="linked">${blocks.map((edge) => this.#row(edge, edge.task_id))}</ul>
          </div>`
        : nothing}`
  }

  #row(edge: Dependency, other: string): TemplateResult {
    const task = this.room.store.one<Task>('tasks', other)
    const name = task?.title === undefined ? 'A card out of sight' : `${task.key} ${task.title}`
    return html`<li>
      <button class="link" ?disabled=${task?.title === undefined} @click=${() => this.#open(other)}>${name}</button>
      ${this.mayEdit ? html`<button class="quiet icon-only" aria-label="Do not wait: ${name}" @click=${() => this.#remove(edge)}>${cross}</button>` : nothing}
    </li>`
  }

  #another(taken: Set<string>): TemplateResult {
    const others = this.room.store
      .all<Task>('tasks')
      .filter((task) => task.title !== undefined && !taken.has(task.id))
      .sort(byPosition)
      .slice(0, OFFERED)
    return html`<select aria-label="Wait for another card" @change=${(event: Event) => this.#add(event.target as HTMLSelectElement)}>
      <option value="">Add…</option>
      ${others.map((task) => html`<option value=${task.id}>${task.key} ${task.title}</option>`)}
    </select>`
  }
}
