import { html, nothing, type TemplateResult } from 'lit'
import { customElement, property, query, state } from 'lit/decorators.js'

import { productOf, wear } from '../brand'
import type { Project, RoomEvent, Task } from '../entities'
import { inPlainWords, type WireError } from '../errors'
import { newId } from '../ids'
import { projectClosed } from '../farewell'
import { Live, type Greeting } from '../live'
import type { Pending } from '../outbox'
import type { Session, Tenant } from '../session'
import { Store } from '../store'
import { applyTheme, type Theme } from '../theme'
import './account'
import './barred'
import './board'
import { keptChanges } from './kept'
import { LightElement } from './light'
import './members'
import './projects'
import { hashOf, routeOf, type Route } from './route'
import type { Toasts } from './toasts'
import './toasts'
import { topBar } from './top-bar'

/** How long a card that somebody else changed stays marked; the style sheet fades it in the same time. */
const MARKED_MS = 2_600
/** Roles that lack `project.create`; the server decides, this only spares a hopeless form. */
const CREATES_NO_PROJECT = new Set(['member', 'viewer', 'client', 'guest'])

/** Everything behind sign-in. Fires `signed-out`, `session-ended`, and `moved` when the session is in another tenant now. */
@customElement('atrium-workspace')
export class Workspace extends LightElement {
  @property({ attribute: false }) session!: Session
  /** Said once, when the page opens. */
  @property() notice = ''
  @state() private route: Route = routeOf(location.hash)
  @state() private revision = 0
  @state() private listed = false
  @state() private spoken = ''
  @state() private mayCreate = false
  @state() private seesTenant = false
  @state() private invited = 0
  @query('atrium-toasts') private toasts!: Toasts
  #live!: Live
  #putOut = false
  readonly #tenant = new Store()
  readonly #marks = new Map<string, { id: string; name: string }>()

  override connectedCallback(): void {
    super.connectedCallback()
    const { session } = this
    this.#live = new Live({
      token: () => session.accessToken,
      renew: () => this.#renew(),
      changed: () => this.revision++,
      event: (name, event, mine) => this.#heard(name, event, mine),
      ready: (greeting) => this.#ready(greeting),
      closed: (room, reason) => this.#closed(room, reason),
      permitted: (room, permissions) => this.#permitted(room, permissions),
      refused: (...what) => this.#refused(...what),
      ended: () => this.dispatchEvent(new CustomEvent('session-ended', { detail: this.#putOut })),
      keep: keptChanges(session.user?.id ?? ''),
    })
    addEventListener('hashchange', this.#navigate)
    addEventListener('keydown', this.#takeBack)
    this.#navigate()
    if (session.tenant) this.#live.start()
  }

  protected override firstUpdated(): void {
    if (this.notice) this.toasts.show(this.notice, { tone: 'problem' })
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback()
    removeEventListener('hashchange', this.#navigate)
    removeEventListener('keydown', this.#takeBack)
    this.#live.stop()
  }

  readonly #navigate = (): void => {
    this.route = routeOf(location.hash)
    const { screen, project, task } = this.route
    if (screen === 'members') return void this.#live.enter(this.#tenantRoom)
    if (!project) return this.#live.leave()
    this.#live.enter(`project:${project}`)
    this.#live.focus(task ? { kind: 'task', id: task } : { kind: 'project', id: project })
  }

  get #tenantRoom(): string {
    return `tenant:${this.session.tenant?.id ?? ''}`
  }

  /** The new tokens may be for another tenant, or for none: the membership here is over then. */
  async #renew(): Promise<string> {
    const { tenant } = this.session
    const token = await this.session.renew()
    if (tenant?.id === this.session.tenant?.id) return token
    this.#live.stop()
    this.dispatchEvent(new CustomEvent('moved', { detail: tenant?.name ?? '' }))
    return token
  }

  #ready({ role, rooms }: Greeting): void {
    this.#putOut = false
    this.mayCreate = !CREATES_NO_PROJECT.has(role)
    this.seesTenant = this.#tenantRoom in rooms
    void this.#list()
  }

  #closed(room: string, reason: string): void {
    if (room === this.#tenantRoom) this.seesTenant = false
    if (room === `user:${this.session.user?.id}` && reason === 'revoked') this.#putOut = true
  }

  #permitted(room: string, permissions: string[]): void {
    if (room === this.#tenantRoom) this.mayCreate = permissions.includes('project.create')
  }

  async #list(): Promise<void> {
    const { tenant } = this.session
    if (!tenant) return
    try {
      this.#tenant.replace({ projects: await this.session.list(`/tenants/${tenant.id}/projects`, 'projects') })
      this.listed = true
      applyTheme(await this.session.catchUp())
    } catch {
      // The connection's own trouble is shown already, and the list is asked for again after it.
    }
    this.revision++
  }

  #heard(name: string, event: RoomEvent, mine: boolean): void {
    if (name === 'invitation.changed' || name === 'member.added') this.invited++
    if (name === 'profile.updated') this.#profile(event.data.user as { name?: string; theme?: Theme })
    if (event.room.startsWith('tenant:')) {
      const { project, projects, tenant } = event.data
      if (tenant !== undefined) this.session.retell(tenant as Partial<Tenant>)
      this.#tenant.apply({ ...(project !== undefined && { project }), ...(projects !== undefined && { projects }) })
      this.revision++
    }
    const task = event.data.task as Partial<Task> | undefined
    if (!mine && task?.id && event.actor && event.room === this.#live.room?.name) this.#mark(task.id, event.actor)
  }

  #profile(user: { name?: string; theme?: Theme }): void {
    this.session.rename(user)
    if (user.theme) applyTheme(user.theme)
  }

  /** Show for a moment who changed a card. */
  #mark(taskId: string, actor: { id: string; name: string }): void {
    this.#marks.set(taskId, actor)
    setTimeout(() => {
      if (this.#marks.get(taskId) !== actor) return
      this.#marks.delete(taskId)
      this.revision++
    }, MARKED_MS)
  }

  #refused(pending: Pending, error: WireError, requestId?: string): void {
    const { before_id, after_id } = error.details ?? {}
    if (pending.name === 'task.move' && error.code === 'CONFLICT' && (before_id || after_id)) {
      // The neighbour has gone elsewhere meanwhile; the column is what was meant.
      const { task_id, column_id } = pending.payload
      void this.#live.outbox.add(pending.room, 'task.move', { task_id, column_id }, pending.doing)
      return
    }
    this.toasts.show(inPlainWords(error, pending.doing, requestId), { tone: 'problem' })
  }

  async #createProject({ detail: name }: CustomEvent<string>): Promise<void> {
    const { tenant } = this.session
    if (!tenant) return
    const [room, id] = [`tenant:${tenant.id}`, newId()]
    const data = await this.#live.outbox.add(room, 'project.create', { room, id, name }, 'create the project')
    if (!data) return
    this.#tenant.apply({ project: data.project })
    location.hash = hashOf({ project: id })
  }

  /** Control and Z takes back one's own last change in the project, with Shift it comes again; where one types it is the field's. */
  readonly #takeBack = (event: KeyboardEvent): void => {
    const { project } = this.route
    const typing = (event.target as HTMLElement).matches?.('input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]')
    if (!project || typing || !(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== 'z') return
    event.preventDefault()
    void this.#step(event.shiftKey ? 'redo' : 'undo', project)
  }

  async #step(step: 'undo' | 'redo', project_id: string): Promise<void> {
    const done = await this.#live.change(`history.${step}`, { project_id }, step === 'undo' ? 'take that back' : 'do that again')
    const { entries } = (done?.change ?? {}) as { entries?: { text: string }[] }
    if (!done) return
    const said = `${step === 'undo' ? 'Taken back' : 'Done again'}: ${entries?.map(({ text }) => text).join('; ') || 'your last change'}`
    const back = step === 'undo' ? 'redo' : 'undo'
    this.toasts.show(said, { action: { label: back === 'redo' ? 'Redo' : 'Undo', run: () => void this.#step(back, project_id) } })
  }

  #delete({ detail: task }: CustomEvent<Task>): void {
    const undo = (): void => void this.#live.change('task.restore', { task_id: task.id }, 'bring the card back')
    void this.#live.change('task.delete', { task_id: task.id }, 'delete the card')
    this.#open(null)
    this.toasts.show(`Deleted ${task.key || 'the card'}: ${task.title}`, { action: { label: 'Undo', run: undo } })
  }

  #open(task: string | null): void {
    location.hash = hashOf({ project: this.route.project, task })
  }

  async #signOut(): Promise<void> {
    this.#live.stop()
    await this.session.signOut()
    history.replaceState(null, '', '#/')
    applyTheme('auto')
    this.dispatchEvent(new Event('signed-out'))
  }

  protected override render(): TemplateResult {
    const { user, tenant } = this.session
    const { connection, outbox, room } = this.#live
    const id = this.route.project
    const project = id ? (room?.store.one<Project>('projects', id) ?? this.#tenant.one<Project>('projects', id)) : null
    const branding = tenant?.branding ?? null
    const product = productOf(branding)
    document.title = project ? `${project.name} · ${product}` : product
    wear(branding)
    return html`
      ${topBar({
        user: user ?? { id: '', name: '' },
        tenant: tenant?.name ?? '',
        branding,
        project: id ? (project?.name ?? '…') : null,
        screen: this.route.screen,
        members: this.seesTenant,
        presence: id ? (room?.presence ?? null) : null,
        connection,
        waiting: outbox.waiting,
        signOut: () => void this.#signOut(),
      })}
      ${this.#main()}
      <atrium-toasts></atrium-toasts>
      <p class="unseen" role="log" aria-live="assertive">${this.spoken}</p>
    `
  }

  #main(): TemplateResult | typeof nothing {
    const { session, route } = this
    const live = this.#live
    if (route.screen === 'account') return html`<atrium-account .session=${session} @secured=${() => live.retry()}></atrium-account>`
    if (!session.tenant) return html`<main class="closed"><p>You belong to no team at the moment.</p><a class="button" href="#/account">Your account</a></main>`
    if (live.barred) return html`<atrium-barred .session=${session} .error=${live.barred} @secured=${() => live.retry()}></atrium-barred>`
    if (route.screen === 'members') return this.#members()
    return route.project ? this.#board() : this.#projects()
  }

  #members(): TemplateResult | typeof nothing {
    const { room } = this.#live
    if (!room) return nothing
    if (room.closed) return closed('You may not see the members of this team.')
    return html`<atrium-members .session=${this.session} .live=${this.#live} .room=${room} .revision=${this.revision} .invited=${this.invited}></atrium-members>`
  }

  #projects(): TemplateResult {
    return html`<atrium-projects
      .projects=${this.listed ? this.#tenant.all<Project>('projects') : null}
      ?mayCreate=${this.mayCreate}
      @create-project=${this.#createProject}
    ></atrium-projects>`
  }

  #board(): TemplateResult | typeof nothing {
    const { room } = this.#live
    if (!room) return nothing
    if (room.closed) return closed(projectClosed(room.closed))
    return html`<atrium-board
      .live=${this.#live}
      .room=${room}
      .me=${this.session.user?.id ?? ''}
      .marks=${this.#marks}
      .revision=${this.revision}
      .opened=${this.route.task}
      @open-task=${({ detail }: CustomEvent<string | null>) => this.#open(detail)}
      @delete-task=${this.#delete}
      @say=${({ detail }: CustomEvent<string>) => (this.spoken = detail)}
    ></atrium-board>`
  }
}

function closed(text: string): TemplateResult {
  return html`<main class="closed">
    <p role="status">${text}</p>
    <a class="button" href="#/">All projects</a>
  </main>`
}
