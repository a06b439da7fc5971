import { html, nothing, type PropertyValues, type TemplateResult } from 'lit'
import { customElement, property, state } from 'lit/decorators.js'
import { repeat } from 'lit/directives/repeat.js'
import { unsafeHTML } from 'lit/directives/unsafe-html.js'

import type { Comment, Member } from '../entities'
import type { Live } from '../live'
import type { Room } from '../room'
import { avatar } from './avatar'
import { momentOf } from './due'
import { LightElement } from './light'
import { ReadAlong } from './read-along'

const PAGE = 50

/** The talk about one task: read page by page, and again whenever somebody adds to it. */
@customElement('atrium-comments')
export class Comments extends LightElement {
  @property({ attribute: false }) live!: Live
  @property({ attribute: false }) room!: Room
  @property({ attribute: false }) task = ''
  @property({ attribute: false }) revision = 0
  /** Oldest first; null until the first page is there. */
  @state() private comments: Comment[] | null = null
  /** Where what came before is to be read on. */
  @state() private earlier: string | null = null
  readonly #along = new ReadAlong(
    () => this.#read(),
    (data) => (data.comment as Partial<Comment> | undefined)?.task_id === this.task,
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
    if (changed.has('task')) this.comments = this.earlier = null
    this.#along.draw(this.live, this.room, this.task)
  }

  async #read(): Promise<void> {
    const { task } = this
    const reply = await this.live.ask('comment.list', { task_id: task, limit: PAGE }).catch(() => null)
    if (!reply?.success || task !== this.task) return
    this.comments = (reply.data.comments as Comment[]).reverse()
    this.earlier = reply.meta?.pagination?.next ?? null
  }

  async #readEarlier(): Promise<void> {
    const { task, earlier } = this
    const reply = await this.live.ask('comment.list', { task_id: task, limit: PAGE, cursor: earlier }).catch(() => null)
    if (!reply?.success || task !== this.task || earlier !== this.earlier) return // read on or anew meanwhile
    this.comments = [...(reply.data.comments as Comment[]).reverse(), ...(this.comments ?? [])]
    this.earlier = reply.meta?.pagination?.next ?? null
  }

  readonly #send = (event: Event): void => {
    event.preventDefault()
    const field = this.querySelector('textarea')!
    const body = field.value.trim()
    if (!body) return
    field.value = ''
    void this.live.change('comment.add', { task_id: this.task, body: this.#mentioning(body) }, 'comment')
  }

  /** "@Bob" of the project's people as the server reads it. */
  #mentioning(body: string): string {
    const byName = new Map(this.room.store.all<Member>('members').map((member) => [member.name.toLowerCase(), member]))
    return body.replace(/(^|\s)@(\p{L}+)/gu, (typed, before: string, name: string) => {
      const member = byName.get(name.toLowerCase())
      return member ? `${before}@[${member.name}](user:${member.id})` : typed
    })
  }

  readonly #keys = (event: KeyboardEvent): void => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && !event.isComposing) this.#send(event)
  }

  protected override render(): TemplateResult {
    const pending = this.live.outbox
      .drawn(this.room.name)
      .filter(({ name, payload }) => name === 'comment.add' && payload.task_id === this.task)
    return html`<section class="comments field" aria-label="Comments">
      <span>Comments</span>
      ${this.earlier ? html`<button class="quiet small" @click=${() => void this.#readEarlier()}>Show earlier</button>` : nothing}
      <ol>
        ${repeat(this.comments ?? [], ({ id }) => id, (comment) => this.#comment(comment))}
        ${pending.map(({ payload }) => html`<li class="waiting"><p class="said">${payload.body}</p></li>`)}
      </ol>
      ${this.room.can('comment.add')
        ? html`<form @submit=${this.#send}>
            <textarea aria-label="New comment" placeholder="Say something…" rows="2" maxlength="20000" @keydown=${this.#keys}></textarea>
            <button class="primary small">Comment</button>
          </form>`
        : nothing}
    </section>`
  }

  #comment(comment: Comment): TemplateResult {
    const name = comment.author_name ?? 'Somebody'
    return html`<li>
      ${avatar({ id: comment.author_id, name })}
      <div>
        <p class="who"><b>${name}</b> <time datetime=${comment.created_at}>${momentOf(comment.created_at)}</time>${comment.edited_at ? ' · edited' : nothing}</p>
        <div class="said">${unsafeHTML(comment.body_html)}</div>
      </div>
    </li>`
  }
}
