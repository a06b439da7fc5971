import type { Column, Status, Task } from './entities'
import { byPosition } from './order'
import type { Pending } from './outbox'
import type { Store } from './store'

/** A task as drawn: with the reader's own changes on top of what the server has said. */
export interface Card extends Task {
  /** Something of it waits for the server. */
  waiting: boolean
  /** It exists on this page only, until the server has numbered it. */
  unborn: boolean
}

/** A column with its cards in order. */
export interface Lane {
  column: Column
  category: Status['category'] | null
  cards: Card[]
  unborn: boolean
}

/** Where to put a task: before a card, after one, or at the end. */
export interface Place {
  column_id: string
  before_id?: string
  after_id?: string
}

/** The board as it will be once all pending commands are applied. */
export function lanesOf(store: Store, pending: Pending[], boardId: string): Lane[] {
  const lanes = store
    .all<Column>('columns')
    .filter((column) => column.board_id === boardId)
    .sort(byPosition)
    .map((column): Lane => ({ column, category: categoryOf(store, column), cards: [], unborn: false }))
  const byId = new Map(lanes.map((lane) => [lane.column.id, lane]))
  for (const task of store.all<Task>('tasks').sort(byPosition)) {
    // One from beyond the snapshot's window is known in part only, until more is asked for.
    if (task.title === undefined) continue
    byId.get(task.column_id ?? '')?.cards.push({ ...task, waiting: false, unborn: false })
  }
  return pending.reduce(draw, lanes)
}

/** The place of a card that is to stand at `index` among `others`, its own column without itself. */
export function placeAt(columnId: string, others: Card[], index: number): Place {
  const before = others[index]
  const last = others.at(-1)
  if (before) return { column_id: columnId, before_id: before.id }
  return last ? { column_id: columnId, after_id: last.id } : { column_id: columnId }
}

export function find(lanes: Lane[], taskId: string): { lane: Lane; card: Card; index: number } | null {
  for (const lane of lanes) {
    const index = lane.cards.findIndex((card) => card.id === taskId)
    if (index >= 0) return { lane, card: lane.cards[index]!, index }
  }
  return null
}

function draw(lanes: Lane[], pending: Pending): Lane[] {
  const { name, payload } = pending
  const found = find(lanes, String(payload.task_id))
  const target = lanes.find((lane) => lane.column.id === payload.column_id)
  switch (name) {
    case 'task.move':
      if (found && target) move(found, target, payload as unknown as Place)
      break
    case 'task.create':
      if (!find(lanes, String(payload.id))) target?.cards.push(unborn(payload))
      break
    case 'task.update':
      if (found) Object.assign(found.card, payload.changes, { waiting: true })
      break
    case 'task.delete':
      found?.lane.cards.splice(found.index, 1)
      break
    case 'column.set_limit':
      if (target) target.column = { ...target.column, wip_limit: payload.limit as number | null }
      break
    case 'column.create':
      if (!lanes.some((lane) => lane.column.id === payload.id)) lanes.push(unbornLane(payload))
  }
  return lanes
}

function move(from: { lane: Lane; card: Card; index: number }, to: Lane, place: Place): void {
  from.lane.cards.splice(from.index, 1)
  const before = to.cards.findIndex((card) => card.id === place.before_id)
  const after = to.cards.findIndex((card) => card.id === place.after_id)
  const index = before >= 0 ? before : after >= 0 ? after + 1 : to.cards.length
  to.cards.splice(index, 0, { ...from.card, column_id: to.column.id, waiting: true })
}

function unborn(payload: Record<string, unknown>): Card {
  const { id, title, column_id } = payload as { id: string; title: string; column_id: string }
  return { id, key: '', title, column_id, status_id: null, position: '', version: 0, waiting: true, unborn: true }
}

function unbornLane(payload: Record<string, unknown>): Lane {
  const { id, name, board_id } = payload as { id: string; name: string; board_id: string }
  return { column: { id, board_id, name, position: '', wip_limit: null }, category: null, cards: [], unborn: true }
}

function categoryOf(store: Store, column: Column): Status['category'] | null {
  const status = column.status_ids?.[0]
  return (status && store.one<Status>('statuses', status)?.category) || null
}
