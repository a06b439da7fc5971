/** Somebody who has this room open. */
export interface Present {
  id: string
  name: string
  status: 'online' | 'away' | 'busy'
  focus: { kind: string; id: string } | null
}

/** What `room.join` and `presence.changed` say of one member; `left` may name the id alone. */
type Wire = string | { id?: string; user_id?: string; name?: string; status?: Present['status']; focus?: Present['focus'] }

export interface PresenceChange {
  joined?: Wire[]
  updated?: Wire[]
  left?: Wire[]
  count?: number
}

/** Who is in a room. In a large room the server sends a count and no names. */
export class Presence {
  readonly #members = new Map<string, Present>()
  count = 0

  get members(): Present[] {
    return [...this.#members.values()]
  }

  /** Start again from the list, or `{members, count}`, of a join's reply. */
  replace(wire: unknown): void {
    this.#members.clear()
    const { members, count } = Array.isArray(wire)
      ? { members: wire as Wire[], count: undefined }
      : ((wire ?? {}) as { members?: Wire[]; count?: number })
    for (const member of members ?? []) this.#put(member)
    this.count = count ?? this.#members.size
  }

  change(change: PresenceChange): void {
    for (const member of change.left ?? []) this.#members.delete(idOf(member))
    for (const member of [...(change.joined ?? []), ...(change.updated ?? [])]) this.#put(member)
    this.count = change.count ?? this.#members.size
  }

  #put(wire: Wire): void {
    const id = idOf(wire)
    if (!id) return
    const known = this.#members.get(id) ?? { id, name: '', status: 'online' as const, focus: null }
    const { name, status, focus } = typeof wire === 'string' ? {} : wire
    this.#members.set(id, {
      id,
      name: name ?? known.name,
      status: status ?? known.status,
      focus: focus === undefined ? known.focus : focus,
    })
  }
}

function idOf(wire: Wire): string {
  return typeof wire === 'string' ? wire : (wire.user_id ?? wire.id ?? '')
}
