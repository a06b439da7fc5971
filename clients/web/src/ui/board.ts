import { html, nothing, type PropertyValues, type TemplateResult } from 'lit'
import { customElement, property, state } from 'lit/decorators.js'
import { repeat } from 'lit/directives/repeat.js'

import type { Board, Column, Label, Member } from '../entities'
import { blockersOf } from '../waits'
import { newId } from '../ids'
import { find, lanesOf, placeAt, type Lane, type Place } from '../lanes'
import type { Live } from '../live'
import { byPosition } from '../order'
import type { Present } from '../presence'
import type { Room } from '../room'
import { Drag, type Dropped } from './drag'
import { Glide } from './glide'
import { plus } from './icons'
import { neighbour, placeTowards } from './keys'
import { laneView, type LaneContext } from './lane'
import { LightElement } from './light'
import './task-panel'

/** A project's board. Fires `open-task`, `delete-task` and `say`. */
@customElement('atrium-board')
export class BoardView extends LightElement {
  @property({ attribute: false }) live!: Live
  @property({ attribute: false }) room!: Room
  @property({ attribute: false }) me = ''
  @property({ attribute: false }) marks: LaneContext['marks'] = new Map()
  @property({ attribute: false }) revision = 0
  @property({ attribute: false }) opened: string | null = null
  @state() private boardId: string | null = null
  @state() private limiting: string | null = null
  @state() private composing: string | null = null
  @state() private naming = false
  #lanes: Lane[] = []
  #order = ''
  #focused: string | null = null
  #dropped = false
  readonly #glide = new Glide()
  readonly #drag = new Drag(
    (drop) => {
      this.#dropped = true
      this.#drop(drop)
    },
    () => this.requestUpdate(),
  )

  override disconnectedCallback(): void {
    super.disconnectedCallback()
    this.#drag.stop()
  }

  /** While a card is in the air the lists hold still; all that came meanwhile is drawn on the drop. */
  protected override shouldUpdate(): boolean {
    return !this.#drag.active
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('room')) this.boardId = this.limiting = this.composing = null
    const boards = this.#boards()
    const boardId = this.boardId ?? boards[0]?.id ?? ''
    this.#lanes = lanesOf(this.room.store, this.live.outbox.drawn(this.room.name), boardId)
    const order = this.#lanes.map((lane) => [lane.column.id, ...lane.cards.map((card) => card.id)].join()).join(';')
    // After a drop all cards are where the reader has seen them put.
    if (order !== this.#order && !changed.has('room') && !this.#dropped) this.#glide.measure(this)
    this.#order = order
    this.#dropped = false
    this.#focused = focusedTask()
  }

  protected override updated(changed: PropertyValues): void {
    this.#glide.play(this)
    this.#drag.watch([...this.querySelectorAll<HTMLElement>('.cards')], this.room.can('task.edit'))
    // A card that moved to another list is another element there: the focus goes with it.
    if (this.#focused && focusedTask() !== this.#focused && document.activeElement === document.body) this.#focus(this.#focused)
    if (changed.has('opened') && !this.opened && changed.get('opened')) this.#focus(changed.get('opened') as string)
    if (changed.has('composing') || changed.has('limiting') || changed.has('naming')) {
      this.querySelector<HTMLElement>('[autofocus]')?.focus()
    }
  }

  #boards(): Board[] {
    return this.room.store.all<Board>('boards').sort((a, b) => byPosition(placed(a), placed(b)))
  }

  #drop({ taskId, columnId, index }: Dropped): void {
    const lane = this.#lanes.find(({ column }) => column.id === columnId)
    if (!lane) return
    const others = lane.cards.filter((card) => card.id !== taskId)
    this.#move(taskId, lane, placeAt(columnId, others, index), index)
  }

  #move(taskId: string, lane: Lane, place: Place, index: number): void {
    const card = find(this.#lanes, taskId)?.card
    void this.live.change('task.move', { task_id: taskId, ...place }, 'move the card')
    const others = lane.cards.filter((other) => other.id !== taskId).length
    this.#say(`${card?.key ?? 'Card'} moved to ${lane.column.name}, place ${index + 1} of ${others + 1}`)
  }

  #moveTo(taskId: string, columnId: string): void {
    const lane = this.#lanes.find(({ column }) => column.id === columnId)
    if (lane) this.#drop({ taskId, columnId, index: lane.cards.filter((card) => card.id !== taskId).length })
  }

  readonly #keys = (event: KeyboardEvent): void => {
    const target = event.target as HTMLElement
    const taskId = target.classList.contains('card-open') ? target.closest<HTMLElement>('.card')?.dataset.task : undefined
    if (!taskId || !event.key.startsWith('Arrow')) return
    event.preventDefault()
    if (!(event.ctrlKey || event.metaKey || event.altKey)) {
      const next = neighbour(this.#lanes, taskId, event.key)
      if (next) this.#focus(next)
      return
    }
    if (!this.room.can('task.edit')) return this.#say('Your role does not allow moving cards')
    const to = placeTowards(this.#lanes, taskId, event.key)
    if (to) this.#move(taskId, to.lane, to.place, to.index)
    else this.#say('The board ends here')
  }

  #focus(taskId: string): void {
    this.querySelector<HTMLElement>(`[data-task="${CSS.escape(taskId)}"] .card-open`)?.focus()
  }

  #say(text: string): void {
    this.dispatchEvent(new CustomEvent('say', { detail: text }))
  }

  #open(taskId: string | null): void {
    this.dispatchEvent(new CustomEvent('open-task', { detail: taskId }))
  }

  #addCard(columnId: string, title: string): void {
    void this.live.change('task.create', { id: newId(), title, column_id: columnId }, 'add the card')
  }

  #addColumn(event: SubmitEvent, boardId: string): void {
    event.preventDefault()
    const name = String(new FormData(event.target as HTMLFormElement).get('name')).trim()
    this.naming = false
    if (name) void this.live.change('column.create', { id: newId(), board_id: boardId, name }, 'add the column')
  }

  #setLimit(columnId: string, limit: number | null): void {
    this.limiting = null
    void this.live.change('column.set_limit', { column_id: columnId, limit }, 'set the limit')
  }

  protected override render(): TemplateResult {
    if (!this.room.ready) return bones()
    const boards = this.#boards()
    const boardId = this.boardId ?? boards[0]?.id ?? ''
    const context = this.#context()
    return html`
      ${boards.length > 1 ? this.#tabs(boards, boardId) : nothing}
      <p class="unseen" id="card-keys">Arrow keys go from card to card. Control and an arrow key moves the card.</p>
      <div class="board">
        <main class="lanes" aria-label="Board" @keydown=${this.#keys}>
          ${repeat(
            this.#lanes,
            (lane) => lane.column.id,
            (lane) => laneView(lane, { ...context, more: this.room.more.has(lane.column.id) }),
          )}
          ${context.mayShape && boardId ? this.#newColumn(boardId) : nothing}
        </main>
        ${this.#panel(context)}
      </div>
    `
  }

  #context(): LaneContext {
    const members = new Map(this.room.store.all<Member>('members').map((member) => [member.id, member]))
    return {
      members,
      viewers: viewersOf(this.room.presence.members, this.me),
      marks: this.marks,
      labels: new Map(this.room.store.all<Label>('labels').map((label) => [label.id, label])),
      waits: blockersOf(this.room.store),
      opened: this.opened,
      movable: this.room.can('task.edit'),
      mayCreate: this.room.can('task.create'),
      mayShape: this.room.can('board.edit'),
      limiting: this.limiting,
      composing: this.composing,
      more: false,
      open: (taskId) => this.#open(taskId),
      limit: (columnId) => (this.limiting = columnId),
      setLimit: (columnId, limit) => this.#setLimit(columnId, limit),
      compose: (columnId) => (this.composing = columnId),
      add: (columnId, title) => this.#addCard(columnId, title),
      widen: () => this.live.widen(),
    }
  }

  #tabs(boards: Board[], shown: string): TemplateResult {
    return html`<nav class="tabs" aria-label="Boards">
      ${boards.map(
        (board) =>
          html`<button class="quiet" aria-current=${board.id === shown ? 'page' : nothing} @click=${() => (this.boardId = board.id)}>
            ${board.name}
          </button>`,
      )}
    </nav>`
  }

  #newColumn(boardId: string): TemplateResult {
    if (!this.naming) {
      return html`<button class="quiet add-column" aria-label="Add a column" @click=${() => (this.naming = true)}>${plus} Column</button>`
    }
    return html`<form
      class="lane column-form"
      @submit=${(event: SubmitEvent) => this.#addColumn(event, boardId)}
      @keydown=${(event: KeyboardEvent) => event.key === 'Escape' && (this.naming = false)}
    >
      <input name="name" aria-label="Name of the new column" placeholder="Name" maxlength="100" autocomplete="off" autofocus required />
      <div>
        <button class="primary small">Add</button>
        <button class="quiet small" type="button" @click=${() => (this.naming = false)}>Close</button>
      </div>
    </form>`
  }

  #panel({ members, viewers }: LaneContext): TemplateResult | typeof nothing {
    const card = this.opened ? find(this.#lanes, this.opened)?.card : null
    if (!card) return nothing
    const columns: Column[] = this.#lanes.map((lane) => lane.column)
    return html`<atrium-task-panel
      .card=${card}
      .columns=${columns}
      .members=${[...members.values()]}
      .viewers=${viewers.get(card.id) ?? []}
      .live=${this.live}
      .room=${this.room}
      .revision=${this.revision}
      ?mayEdit=${this.room.can('task.edit')}
      ?mayDelete=${this.room.can('task.delete')}
      @change-task=${({ detail }: CustomEvent<Record<string, unknown>>) =>
        void this.live.change('task.update', { task_id: card.id, changes: detail }, 'change the card')}
      @move-task=${({ detail }: CustomEvent<string>) => this.#moveTo(card.id, detail)}
      @delete-task=${() => this.dispatchEvent(new CustomEvent('delete-task', { detail: card }))}
      @open-task=${({ detail }: CustomEvent<string>) => this.#open(detail)}
      @close=${() => this.#open(null)}
    ></atrium-task-panel>`
  }
}

function viewersOf(present: Present[], me: string): Map<string, Present[]> {
  const viewers = new Map<string, Present[]>()
  for (const member of present) {
    if (member.id === me || member.focus?.kind !== 'task') continue
    viewers.set(member.focus.id, [...(viewers.get(member.focus.id) ?? []), member])
  }
  return viewers
}

function focusedTask(): string | null {
  const { activeElement } = document
  if (!activeElement?.classList.contains('card-open')) return null
  return activeElement.closest<HTMLElement>('.card')?.dataset.task ?? null
}

function placed(board: Board): { id: string; position: string } {
  return { id: board.id, position: board.position ?? '' }
}

function bones(): TemplateResult {
  return html`<div class="board">
    <main class="lanes" aria-busy="true" aria-label="Board">
      ${[3, 2, 4].map((count) => html`<section class="lane">${Array.from({ length: count }, () => html`<div class="card bones"></div>`)}</section>`)}
    </main>
  </div>`
}
