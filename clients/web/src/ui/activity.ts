import { html, nothing, type PropertyValues, type TemplateResult } from 'lit'
import { customElement, property, state } from 'lit/decorators.js'
import { repeat } from 'lit/directives/repeat.js'

import type { Entry } from '../entities'
import type { Live } from '../live'
import type { Room } from '../room'
import { momentOf } from './due'
import { LightElement } from './light'
import { ReadAlong } from './read-along'

const PAGE = 20

/** What was done to one task, in sentences, the newest first. */
@customElement('atrium-activity')
export class Activity extends LightElement {
  @property({ attribute: false }) live!: Live
  @property({ attribute: false }) room!: Room
  @property({ attribute: false }) task = ''
  @property({ attribute: false }) revision = 0
  @state() private entries: Entry[] = []
  @state() private earlier: string | null = null
  readonly #along = new ReadAlong(
    () => this.#read(),
    (data) => JSON.stringify(data).includes(this.task),
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
    if (changed.has('task')) {
      this.entries = []
      this.earlier = null
    }
    this.#along.draw(this.live, this.room, this.task)
  }

  async #read(cursor: string | null = null): Promise<void> {
    const { task } = this
    const project_id = this.room.name.replace('project:', '')
    const reply = await this.live.ask('activity.list', { project_id, task_id: task, limit: PAGE, ...(cursor && { cursor }) }).catch(() => null)
    if (!reply?.success || task !== this.task) return
    this.entries = [...(cursor ? this.entries : []), ...(reply.data.entries as Entry[])]
    this.earlier = reply.meta?.pagination?.next ?? null
  }

  protected override render(): TemplateResult | typeof nothing {
    if (!this.entries.length) return nothing
    return html`<details class="activity field">
      <summary>Activity</summary>
      <ol>
        ${repeat(this.entries, ({ room, seq }) => `${room} ${seq}`, ({ at, text }) => html`<li>${text} <time datetime=${at}>${momentOf(at)}</time></li>`)}
      </ol>
      ${this.earlier ? html`<button class="quiet small" @click=${() => void this.#read(this.earlier)}>Show earlier</button>` : nothing}
    </details>`
  }
}
