import type { Entity } from './entities'

/**
 * Every entity of one room, folded from a snapshot and the events after it.
 *
 * One rule serves all kinds: a singular key holds one whole or partial entity with its id, a plural
 * key a list of them, and `removed: true` takes an entity away.
 */
export class Store {
  readonly #kinds = new Map<string, Map<string, Entity>>()

  /** Forget everything and start from a snapshot. */
  replace(snapshot: Record<string, unknown>): void {
    this.#kinds.clear()
    this.apply(snapshot)
  }

  /** Fold the data of one event in. */
  apply(data: Record<string, unknown>): void {
    for (const [key, value] of Object.entries(data)) {
      if (key === 'was') continue
      if (Array.isArray(value)) {
        for (const item of value) if (isEntity(item)) this.#merge(key, item)
      } else if (isEntity(value)) {
        this.#merge(pluralOf(key), value)
      }
    }
  }

  all<T extends Entity>(kind: string): T[] {
    return [...(this.#kinds.get(kind)?.values() ?? [])] as T[]
  }

  one<T extends Entity>(kind: string, id: string): T | undefined {
    return this.#kinds.get(kind)?.get(id) as T | undefined
  }

  #merge(kind: string, entity: Entity & { removed?: boolean }): void {
    let entities = this.#kinds.get(kind)
    if (!entities) this.#kinds.set(kind, (entities = new Map()))
    if (entity.removed === true) entities.delete(entity.id)
    else entities.set(entity.id, { ...entities.get(entity.id), ...entity })
  }
}

export function pluralOf(singular: string): string {
  if (singular.endsWith('s')) return `${singular}es`
  if (/[^aeiou]y$/.test(singular)) return `${singular.slice(0, -1)}ies`
  return `${singular}s`
}

function isEntity(value: unknown): value is Entity {
  return typeof value === 'object' && value !== null && typeof (value as Entity).id === 'string'
}
