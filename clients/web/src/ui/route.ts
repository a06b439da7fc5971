/** What the address shows: the list of projects, a project's board, or one of its cards. */
export interface Route {
  project: string | null
  task: string | null
}

export function routeOf(hash: string): Route {
  const [, project = null, task = null] = /^#\/projects\/([^/]+)(?:\/tasks\/([^/]+))?$/.exec(hash) ?? []
  return { project, task }
}

export function hashOf({ project, task }: Partial<Route>): string {
  if (!project) return '#/'
  return task ? `#/projects/${project}/tasks/${task}` : `#/projects/${project}`
}
