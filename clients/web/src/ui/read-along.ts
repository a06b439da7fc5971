import type { RoomEvent } from '../entities'
import type { Live } from '../live'
import type { Room } from '../room'

type Part = { id: string; task_id?: string } & Record<string, unknown>

/** Whether an event tells something of the checklists of a task. */
export function aboutChecklists({ checklist, checklist_item, task }: RoomEvent['data'], id: string): boolean {
  const counted = task as Part | undefined
  return [checklist, checklist_item].some((part) => (part as Part | undefined)?.task_id === id)
    || (counted?.id === id && 'checklist_total' in counted)
}

/**
 * Reads what snapshots leave out, for one task: when it is opened, again when an event is about it, and after every break of
 * the connection, for more may have happened than is told.
 */
export class ReadAlong {
  #readFor: string | null = null
  #stop: (() => void) | null = null

  constructor(
    readonly read: () => Promise<void>,
    readonly concerns: (data: RoomEvent['data']) => boolean,
  ) {}

  start(live: Live): void {
    this.#stop = live.listen(({ data }) => {
      if (this.concerns(data)) void this.read()
    })
  }

  stop(): void {
    this.#stop?.()
  }

  /** The element is about to be drawn for this task. */
  draw(live: Live, room: Room, task: string): void {
    if (live.connection !== 'live') this.#readFor = null
    else if (room.ready && this.#readFor !== task) {
      this.#readFor = task
      void this.read()
    }
  }
}
