import { io, type Socket } from 'socket.io-client'

import type { RoomEvent } from './entities'
import type { Reply, WireError } from './errors'
import { Outbox, type Pending } from './outbox'
import type { PresenceChange } from './presence'
import { Room, type Cursor, type JoinReply } from './room'
import { SessionEnded } from './session'

export type Connection = 'connecting' | 'live' | 'reconnecting'

export interface Greeting {
  role: string
  rooms: Record<string, unknown>
}

export interface LiveOptions {
  url?: string
  token: () => string
  renew: () => Promise<string>
  /** Something to draw anew has changed. */
  changed: () => void
  /** One event came in; `mine` when it answers a command of this page. */
  event?: (name: string, event: RoomEvent, mine: boolean) => void
  /** Connected or connected again, with the role one has in the tenant. */
  ready?: (greeting: Greeting) => void
  /** Put out of a room, the open one or one's own. */
  closed?: (room: string, reason: string) => void
  /** What one may do in a room has changed. */
  permitted?: (room: string, permissions: string[]) => void
  refused?: (pending: Pending, error: WireError, requestId?: string) => void
  /** The server no longer knows this sign-in. */
  ended?: () => void
  keep?: { load(): Pending[]; save(pending: Pending[]): void }
}

const ANSWER_WITHIN_MS = 10_000
/** Tasks per column in a snapshot: the server's own default, and the most it gives. */
const WINDOW = 500
const WIDEST_WINDOW = 5_000
const TRY_AGAIN_MS = 1_000
const TRY_AGAIN_AT_LEAST_EVERY_MS = 30_000
/** These refusals of a join mean there is nothing to wait for. */
const NOT_YOURS = new Set(['NOT_FOUND', 'FORBIDDEN', 'VALIDATION_ERROR'])

/** The page's one connection: it keeps a room's copy whole, and changes on their way, over every break. */
export class Live {
  connection: Connection = 'connecting'
  room: Room | null = null
  /** Why the server lets nobody in at the moment who is signed in all right: the tenant is out of use, for example. It is asked again all the time. */
  barred: WireError | null = null
  readonly outbox: Outbox
  readonly #listeners = new Set<(event: RoomEvent) => void>()
  readonly #options: LiveOptions
  readonly #socket: Socket
  #joining = false
  #stopped = false
  #refusals = 0
  #window: number | null = null

  constructor(options: LiveOptions) {
    this.#options = options
    this.outbox = new Outbox({
      send: (name, payload) => this.ask(name, payload),
      renew: options.renew,
      refused: (...what) => options.refused?.(...what),
      changed: () => options.changed(),
      reached: (room) => (this.room?.name === room ? (this.room.cursor?.seq ?? 0) : Infinity),
      keep: options.keep,
    })
    this.#socket = io(options.url ?? '/', {
      auth: (give) => give({ token: options.token() }),
      transports: ['websocket', 'polling'],
      tryAllTransports: true,
      reconnectionDelay: 250,
      reconnectionDelayMax: 3_000,
      autoConnect: false,
      forceNew: true,
    })
    this.#attend()
  }

  start(): void {
    this.#socket.connect()
  }

  stop(): void {
    this.#stopped = true
    this.outbox.close()
    this.#socket.disconnect()
  }

  /** Show a room; leaves the one before. */
  enter(name: string): Room {
    if (this.room?.name === name) return this.room
    this.leave()
    this.room = new Room(name)
    void this.#join()
    return this.room
  }

  leave(): void {
    // The tenant's own room is every connection's, whether it is shown or not.
    const leaves = this.room && !this.room.name.startsWith('tenant:')
    if (leaves && this.#socket.connected) this.#socket.emit('room.leave', { room: this.room!.name })
    this.room = null
    this.#joining = false
    this.#window = null
  }

  /** Ask for a change in the open room; see `Outbox.add`. */
  change(name: string, payload: Record<string, unknown>, doing: string): Promise<Record<string, unknown> | null> {
    return this.outbox.add(this.room?.name ?? '', name, payload, doing)
  }

  /** Try to get in now: what barred the way may be gone. */
  retry(): void {
    this.#refusals = 0
    if (this.barred && !this.#socket.connected) this.#socket.connect()
  }

  /** Show more of a large room: take a snapshot with a wider window. */
  widen(): void {
    if (!this.room) return
    this.#window = Math.min((this.#window ?? WINDOW) * 2, WIDEST_WINDOW)
    void this.#join(null)
  }

  /** One question, one answer; throws when the connection breaks before it. */
  ask(name: string, payload: Record<string, unknown>): Promise<Reply> {
    if (!this.#socket.connected) return Promise.reject(new Error('not connected'))
    return this.#socket.timeout(ANSWER_WITHIN_MS).emitWithAck(name, payload) as Promise<Reply>
  }

  /** Hear every event as it comes, for what is read page by page; gives the way to stop. */
  listen(heard: (event: RoomEvent) => void): () => void {
    this.#listeners.add(heard)
    return () => void this.#listeners.delete(heard)
  }

  /** Tell the others in the room what this person looks at. May be lost. */
  focus(focus: { kind: string; id: string }): void {
    if (!this.room?.ready || !this.#socket.connected) return
    this.#socket.volatile.emit('presence.set', { room: this.room.name, status: 'online', focus })
  }

  #attend(): void {
    const socket = this.#socket
    socket.on('connect', () => this.#connected())
    socket.on('disconnect', (reason) => this.#disconnected(reason))
    socket.on('connect_error', (error) => void this.#notConnected(error as Error & { data?: WireError }))
    socket.on('session.ready', (greeting: Greeting) => this.#options.ready?.(greeting))
    socket.on('session.expiring', () => void this.#renewSession())
    socket.on('room.closed', (closed: { room: string; reason: string }) => this.#closed(closed.room, closed.reason))
    socket.on('room.permissions', ({ room, permissions }: { room: string; permissions: string[] }) => {
      if (room === this.room?.name) this.room.permit(permissions)
      this.#options.permitted?.(room, permissions)
      this.#options.changed()
    })
    socket.on('room.resync', ({ room }: { room: string }) => room === this.room?.name && !this.room.closed && void this.#join())
    socket.on('server.draining', ({ reconnect_in_ms }: { reconnect_in_ms?: number }) =>
      this.#drain(reconnect_in_ms ?? 0),
    )
    socket.on('presence.changed', (change: PresenceChange & { room: string }) => {
      if (change.room !== this.room?.name) return
      this.room.presence.change(change)
      this.#options.changed()
    })
    socket.onAny((name: string, event: unknown) => {
      if (isRoomEvent(event)) this.#heard(name, event)
    })
  }

  #connected(): void {
    this.connection = 'live'
    this.barred = null
    this.#refusals = 0
    if (this.room) void this.#join()
    this.outbox.open()
    this.#options.changed()
  }

  #disconnected(reason: string): void {
    this.outbox.close()
    this.#joining = false
    if (this.#stopped) return
    this.connection = 'reconnecting'
    this.#options.changed()
    // After a disconnect by the server the library leaves it to us to come back.
    if (!this.#socket.active) this.#connectLater(reason === 'io client disconnect' ? 0 : TRY_AGAIN_MS)
  }

  async #notConnected(error: Error & { data?: WireError }): Promise<void> {
    if (this.connection === 'live') this.connection = 'reconnecting'
    if (error.data) this.barred = error.data.code === 'FORBIDDEN' ? error.data : null
    this.#options.changed()
    if (this.#socket.active || this.#stopped) return
    if (error.data?.code === 'UNAUTHORIZED' && !(await this.#renew())) return
    this.#connectLater(Math.min(TRY_AGAIN_MS * 2 ** this.#refusals++, TRY_AGAIN_AT_LEAST_EVERY_MS))
  }

  #connectLater(ms: number): void {
    setTimeout(() => !this.#stopped && this.#socket.connect(), ms * (0.5 + Math.random() / 2))
  }

  /** A fresh token; false when there is none to be had and the session is over. */
  async #renew(): Promise<boolean> {
    try {
      await this.#options.renew()
    } catch (error) {
      if (!(error instanceof SessionEnded)) return true
      this.stop()
      this.#options.ended?.()
      return false
    }
    return true
  }

  async #renewSession(): Promise<void> {
    if (await this.#renew()) await this.ask('session.refresh', { token: this.#options.token() }).catch(() => undefined)
  }

  /** A server about to stop: come back when it says, so that not all come at once. */
  #drain(ms: number): void {
    const { id } = this.#socket
    setTimeout(() => {
      if (this.#stopped || this.#socket.id !== id) return
      this.#socket.disconnect()
    }, ms)
  }

  async #join(since: Cursor | null = this.room?.cursor ?? null): Promise<void> {
    const room = this.room
    if (!room || this.#joining || !this.#socket.connected) return
    this.#joining = true
    room.joining()
    const { id } = this.#socket
    const window = this.#window && { tasks: this.#window }
    const ask = { room: room.name, ...(since && { since }), ...(window && { window }) }
    const reply = await this.ask('room.join', ask).catch(() => null)
    // A newer connection, or another room, has its own join under way.
    if (this.room !== room || this.#socket.id !== id) return
    this.#joining = false
    if (!reply) this.#joinLater()
    else if (reply.success) this.#joined(room, reply.data as unknown as JoinReply, since?.epoch)
    else if (NOT_YOURS.has(reply.error.code)) this.#closed(room.name, reply.error.code)
    else this.#joinLater(reply.error.retry_after)
  }

  #joined(room: Room, reply: JoinReply, epoch: unknown): void {
    const { fresh, whole } = room.joined(reply)
    for (const event of fresh) this.#landed('', event)
    // In another epoch the old numbers mean nothing, and the snapshot has all that was acknowledged.
    const sameEpoch = epoch === undefined || epoch === reply.epoch
    this.outbox.heard(room.name, sameEpoch ? room.cursor!.seq : Infinity)
    this.#options.changed()
    if (!whole) this.#joinLater()
  }

  #joinLater(seconds = TRY_AGAIN_MS / 1000): void {
    setTimeout(() => void this.#join(), seconds * 1000)
  }

  #heard(name: string, event: RoomEvent): void {
    const heard = event.room === this.room?.name ? this.room.hear(event) : 'applied'
    if (heard === 'hole' && !this.room?.closed) void this.#join()
    if (heard !== 'applied') return
    this.#landed(name, event)
    this.#options.changed()
  }

  #landed(name: string, event: RoomEvent): void {
    const mine = this.outbox.knows(event.command_id)
    this.outbox.heard(event.room, event.seq, event.command_id)
    this.#options.event?.(name, event, mine)
    for (const heard of this.#listeners) heard(event)
  }

  #closed(room: string, reason: string): void {
    this.#options.closed?.(room, reason)
    if (this.room?.name !== room) return
    // Asked again after a break the server says only that there is no such room.
    this.room.closed ??= reason
    this.#options.changed()
  }
}

function isRoomEvent(value: unknown): value is RoomEvent {
  const event = value as Partial<RoomEvent> | null
  return typeof event?.room === 'string' && typeof event.seq === 'number' && typeof event.data === 'object'
}
