import type { RoomEvent } from './entities'
import { Presence } from './presence'
import { Store } from './store'

/** Where a client stands in a room's log. */
export interface Cursor {
  epoch: number | string
  seq: number
}

export interface JoinReply extends Cursor {
  room: string
  mode: 'snapshot' | 'events' | 'current'
  snapshot?: Record<string, unknown>
  events?: RoomEvent[]
  presence?: unknown
  permissions?: string[] | Record<string, boolean>
}

/** What became of an event: `hole` means that some are missing and the room must be joined again. */
export type Heard = 'applied' | 'repeat' | 'held' | 'hole'

/** One room as this client has it: its entities and the number of the last event in them. */
export class Room {
  readonly store = new Store()
  readonly presence = new Presence()
  cursor: Cursor | null = null
  closed: string | null = null
  /** Columns that hold more than the snapshot's window let in. */
  more = new Set<string>()
  #permissions: Set<string> | null = null
  #held: RoomEvent[] | null = null

  constructor(readonly name: string) {}

  get ready(): boolean {
    return this.cursor !== null
  }

  /** Hold back the events that arrive until the join's reply says where they belong. */
  joining(): void {
    this.#held = []
  }

  /** Take a join's reply and then the held events; `whole` is false when one of them is missing. */
  joined(reply: JoinReply): { fresh: RoomEvent[]; whole: boolean } {
    const later = [...(reply.events ?? []), ...(this.#held ?? [])]
    this.#held = null
    if (reply.mode === 'snapshot') {
      this.store.replace(reply.snapshot ?? {})
      this.more = new Set(Object.keys((reply.snapshot?.more as object | undefined) ?? {}))
      this.cursor = { epoch: reply.epoch, seq: reply.seq }
    } else {
      this.cursor = { epoch: reply.epoch, seq: this.cursor?.seq ?? reply.seq }
    }
    this.closed = null
    this.presence.replace(reply.presence)
    this.permit(reply.permissions)
    const heard = later.map((event) => this.hear(event))
    const fresh = later.filter((_, index) => heard[index] === 'applied')
    return { fresh, whole: !heard.includes('hole') && this.cursor.seq >= reply.seq }
  }

  hear(event: RoomEvent): Heard {
    if (this.#held) {
      this.#held.push(event)
      return 'held'
    }
    if (!this.cursor) return 'hole'
    if (event.seq <= this.cursor.seq) return 'repeat'
    if (event.seq > this.cursor.seq + 1) return 'hole'
    this.store.apply(event.data)
    this.cursor = { ...this.cursor, seq: event.seq }
    return 'applied'
  }

  /** The server has said anew what one may do here. */
  permit(permissions: JoinReply['permissions']): void {
    this.#permissions = permissionSet(permissions)
  }

  /** Whether the server grants this; what it did not say is left for it to refuse. */
  can(permission: string): boolean {
    return this.#permissions?.has(permission) ?? true
  }
}

function permissionSet(wire: JoinReply['permissions']): Set<string> | null {
  if (!wire) return null
  if (Array.isArray(wire)) return new Set(wire)
  return new Set(Object.keys(wire).filter((name) => wire[name]))
}
