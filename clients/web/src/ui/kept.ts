import type { Pending } from '../outbox'

/** Keeps a person's unacknowledged changes in this tab, so that a reload loses none. */
export function keptChanges(userId: string): { load(): Pending[]; save(pending: Pending[]): void } {
  const key = `atrium.outbox.${userId}`
  return {
    load: () => JSON.parse(sessionStorage.getItem(key) ?? '[]') as Pending[],
    save: (pending) => {
      if (pending.length) sessionStorage.setItem(key, JSON.stringify(pending))
      else sessionStorage.removeItem(key)
    },
  }
}
