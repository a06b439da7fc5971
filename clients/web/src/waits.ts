import type { Dependency, Status, Task } from './entities'
import type { Store } from './store'

/** Task -> how many open tasks it waits for. One that is out of sight counts as done. */
export function blockersOf(store: Store): Map<string, number> {
  const over = new Set(
    store
      .all<Status>('statuses')
      .filter(({ category }) => category === 'done' || category === 'cancelled')
      .map(({ id }) => id),
  )
  const waits = new Map<string, number>()
  for (const { task_id, depends_on_id } of store.all<Dependency>('dependencies')) {
    const other = store.one<Task>('tasks', depends_on_id)
    if (other && !over.has(other.status_id ?? '')) waits.set(task_id, (waits.get(task_id) ?? 0) + 1)
  }
  return waits
}

/** What a task waits for, and what waits for it. */
export function linksOf(store: Store, taskId: string): { waitsFor: Dependency[]; blocks: Dependency[] } {
  const all = store.all<Dependency>('dependencies')
  return {
    waitsFor: all.filter(({ task_id }) => task_id === taskId),
    blocks: all.filter(({ depends_on_id }) => depends_on_id === taskId),
  }
}
