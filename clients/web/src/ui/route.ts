/** Pages beside the boards; each has the address `#/<name>`. Those that mails lead to bring a token. */
const SCREENS = ['account', 'members', 'register', 'forgot-password', 'verify', 'reset-password', 'invitation', 'signed-in'] as const
export type Screen = (typeof SCREENS)[number]

/** What the address shows: a page of its own, or else the list of projects, a project's board, or one of its cards. */
export interface Route {
  screen: Screen | null
  project: string | null
  task: string | null
  asked: URLSearchParams
}

export function routeOf(hash: string): Route {
  const [, name = '', query = ''] = /^#\/([a-z-]+)(?:\?(.*))?$/.exec(hash) ?? []
  const [, project = null, task = null] = /^#\/projects\/([^/]+)(?:\/tasks\/([^/]+))?$/.exec(hash) ?? []
  const screen = SCREENS.find((known) => known === name) ?? null
  return { screen, project, task, asked: new URLSearchParams(query) }
}

export function hashOf({ project, task }: Partial<Route>): string {
  if (!project) return '#/'
  return task ? `#/projects/${project}/tasks/${task}` : `#/projects/${project}`
}

/** Go elsewhere without leaving the address behind: a token that was used is of no use in the history. */
export function replaceHash(hash: string): void {
  history.replaceState(null, '', hash)
  dispatchEvent(new HashChangeEvent('hashchange'))
}
