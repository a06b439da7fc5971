import type { Reply, WireError } from './errors'
import { newId } from './ids'

/** A change asked for but not yet seen in its room. */
export interface Pending {
  command_id: string
  room: string
  name: string
  payload: Record<string, unknown>
  /** For messages: what the reader was doing, e.g. "move the card". */
  doing: string
  /** Its event is in the room's store, so it need no longer be drawn on top. */
  landed: boolean
  /** The number the server gave it, once acknowledged. */
  seq: number | null
}

export interface OutboxOptions {
  /** Sends once; throws when no answer came, because the connection broke or it took too long. */
  send: (name: string, payload: Record<string, unknown>) => Promise<Reply>
  /** The access token was refused: get another. */
  renew: () => Promise<unknown>
  refused: (pending: Pending, error: WireError, requestId?: string) => void
  changed: () => void
  /** The number of the last event this client has of a room; Infinity when it has the room not open. */
  reached: (room: string) => number
  /** Where the changes are kept over a reload of the page. */
  keep?: { load(): Pending[]; save(pending: Pending[]): void }
  pause?: (seconds: number) => Promise<void>
}

const AGAIN = new Set(['UNAVAILABLE', 'RATE_LIMITED'])
const TRIES_AFTER_A_FAULT = 3

/**
 * Commands on their way, in order, one in flight.
 *
 * A command keeps its id over every retry, so the server applies it once however often it is sent.
 * It leaves when the server refuses it, or when it is acknowledged and its event has been heard.
 */
export class Outbox {
  readonly #options: OutboxOptions
  readonly #answers = new Map<string, (data: Record<string, unknown> | null) => void>()
  #pending: Pending[]
  #open = false
  #pumping = false

  constructor(options: OutboxOptions) {
    this.#options = options
    this.#pending = options.keep?.load() ?? []
  }

  /** Those to be drawn on top of a room's store, oldest first. */
  drawn(room: string): Pending[] {
    return this.#pending.filter((pending) => pending.room === room && !pending.landed)
  }

  /** How many the server has not acknowledged. */
  get waiting(): number {
    return this.#pending.filter((pending) => pending.seq === null).length
  }

  knows(commandId: string | null): boolean {
    return this.#pending.some((pending) => pending.command_id === commandId)
  }

  /** Send a command, now or when the connection is back; gives the reply's data, or null if refused. */
  add(room: string, name: string, payload: Record<string, unknown>, doing: string): Promise<Record<string, unknown> | null> {
    const pending: Pending = { command_id: newId(), room, name, payload, doing, landed: false, seq: null }
    this.#pending.push(pending)
    this.#changed()
    const answer = new Promise<Record<string, unknown> | null>((resolve) => this.#answers.set(pending.command_id, resolve))
    void this.#pump()
    return answer
  }

  /** The connection is up: send what waits. */
  open(): void {
    this.#open = true
    void this.#pump()
  }

  close(): void {
    this.#open = false
  }

  /** A room's store now holds everything up to `seq`, the last being the event of `commandId`. */
  heard(room: string, seq: number, commandId: string | null = null): void {
    for (const pending of this.#pending) {
      if (pending.room !== room) continue
      if (pending.command_id === commandId || (pending.seq !== null && pending.seq <= seq)) pending.landed = true
    }
    this.#sweep()
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return
    this.#pumping = true
    try {
      for (let next = this.#next(); next && this.#open; next = this.#next()) await this.#deliver(next)
    } finally {
      this.#pumping = false
    }
  }

  #next(): Pending | undefined {
    return this.#pending.find((pending) => pending.seq === null)
  }

  async #deliver(pending: Pending): Promise<void> {
    const pause = this.#options.pause ?? seconds
    for (let faults = 0; this.#open; ) {
      let reply: Reply
      try {
        reply = await this.#options.send(pending.name, { ...pending.payload, command_id: pending.command_id })
      } catch {
        if (this.#open) await pause(1)
        continue
      }
      if (reply.success) return this.#acknowledged(pending, reply)
      const { code, retry_after } = reply.error
      if (code === 'UNAUTHORIZED') await this.#options.renew().catch(() => pause(1))
      else if (AGAIN.has(code) || (code === 'INTERNAL' && ++faults < TRIES_AFTER_A_FAULT)) await pause(retry_after ?? 1)
      else return this.#refused(pending, reply.error, reply.request_id)
    }
  }

  #acknowledged(pending: Pending, reply: Reply & { success: true }): void {
    pending.seq = reply.meta?.seq ?? 0
    // A reply about another room (a new project has its own) has no event here to wait for.
    if ((reply.meta?.room ?? pending.room) !== pending.room) pending.landed = true
    if (pending.seq <= this.#options.reached(pending.room)) pending.landed = true
    this.#answer(pending, reply.data)
    this.#sweep()
  }

  #refused(pending: Pending, error: WireError, requestId?: string): void {
    this.#pending = this.#pending.filter((other) => other !== pending)
    this.#changed()
    this.#options.refused(pending, error, requestId)
    this.#answer(pending, null)
  }

  #answer(pending: Pending, data: Record<string, unknown> | null): void {
    this.#answers.get(pending.command_id)?.(data)
    this.#answers.delete(pending.command_id)
  }

  #sweep(): void {
    this.#pending = this.#pending.filter((pending) => !(pending.landed && pending.seq !== null))
    this.#changed()
  }

  #changed(): void {
    this.#options.keep?.save(this.#pending)
    this.#options.changed()
  }
}

const seconds = (count: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, count * 1000))
