import { html, nothing, type TemplateResult } from 'lit'
import { customElement, property, query, state } from 'lit/decorators.js'

import { productOf, wear } from '../brand'
import type { Project, RoomEvent, Task } from '../entities'
import { inPlainWords, type WireError } from '../errors'
import { newId } from '../ids'
import { Live } from '../live'
import type { Pending } from '../outbox'
import type { Session, Tenant } from '../session'
import { Store } from '../store'
import './board'
import { keptChanges } from './kept'
import { LightElement } from './light'
import './projects'
import { hashOf, routeOf, type Route } from './route'
import type { Toasts } from './toasts'
import './toasts'
import { topBar } from './top-bar'

/** How long a card that somebody else changed stays marked; the style sheet fades it in the same time. */
const MARKED_MS = 2_600
/** Roles that lack `project.create`; the server decides, this only spares a hopeless form. */
const CREATES_NO_PROJECT = new Set(['member', 'viewer', 'client', 'guest'])

const CLOSED: Record<string, string> = {
  deleted: 'This project has been deleted.',
  revoked: 'You no longer have access to this project.',
  expired: 'Your access to this project has expired.',
}

/** Everything behind sign-in. Fires `signed-out` and `session-ended`. */
@customElement('atrium-workspace')
export class Workspace extends LightElement {
  @property({ attribute: false }) session!: Session
  @state() private route: Route = routeOf(location.hash)
  @state() private revision = 0
  @state() private listed = false
  @state() private spoken = ''
  @state() private tenantRole = ''
  @query('atrium-toasts') private toasts!: Toasts
  #live!: Live
  readonly #tenant = new Store()
  readonly #marks = new Map<string, { id: string; name: string }>()

  override connectedCallback(): void {
    super.connectedCallback()
    const { session } = this
    this.#live = new Live({
      token: () => session.accessToken,
      renew: () => session.renew(),
      changed: () => this.revision++,
      event: (_name, event, mine) => this.#heard(event, mine),
      ready: ({ role }) => this.#ready(role),
      refused: (...what) => this.#refused(...what),
      ended: () => this.dispatchEvent(new Event('session-ended')),
      keep: keptChanges(session.user?.id ?? ''),
    })
    addEventListener('hashchange', this.#navigate)
    this.#navigate()
    this.#live.start()
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback()
    removeEventListener('hashchange', this.#navigate)
    this.#live.stop()
  }

  readonly #navigate = (): void => {
    this.route = routeOf(location.hash)
    const { project, task } = this.route
    if (!project) return this.#live.leave()
    this.#live.enter(`project:${project}`)
    this.#live.focus(task ? { kind: 'task', id: task } : { kind: 'project', id: project })
  }

  #ready(role: string): void {
    this.tenantRole = role
    void this.#list()
  }

  async #list(): Promise<void> {
    const { tenant } = this.session
    if (!tenant) return
    try {
      this.#tenant.replace({ projects: await this.session.list(`/tenants/${tenant.id}/projects`, 'projects') })
      this.listed = true
      await this.session.catchUp()
    } catch {
      // The connection's own trouble is shown already, and the list is asked for again after it.
    }
    this.revision++
  }

  #heard(event: RoomEvent, mine: boolean): void {
    if (event.room.startsWith('tenant:')) {
      const { project, projects, tenant } = event.data
      if (tenant !== undefined) this.session.retell(tenant as Partial<Tenant>)
      this.#tenant.apply({ ...(project !== undefined && { project }), ...(projects !== undefined && { projects }) })
      this.revision++
    }
    const task = event.data.task as Partial<Task> | undefined
    if (!mine && task?.id && event.actor && event.room === this.#live.room?.name) this.#mark(task.id, event.actor)
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
        presence: room?.presence ?? null,
        connection,
        waiting: outbox.waiting,
        signOut: () => void this.#signOut(),
      })}
      ${this.#live.barred ? this.#barred(this.#live.barred) : id ? this.#board() : this.#projects()}
      <atrium-toasts></atrium-toasts>
      <p class="unseen" role="log" aria-live="assertive">${this.spoken}</p>
    `
  }

  #barred(why: string): TemplateResult {
    return html`<main class="closed" role="status"><p>${why}.</p></main>`
  }

  #projects(): TemplateResult {
    if (!this.session.tenant) return html`<main class="projects"><p class="empty">You belong to no team yet.</p></main>`
    return html`<atrium-projects
      .projects=${this.listed ? this.#tenant.all<Project>('projects') : null}
      ?mayCreate=${this.tenantRole !== '' && !CREATES_NO_PROJECT.has(this.tenantRole)}
      @create-project=${this.#createProject}
    ></atrium-projects>`
  }

  #board(): TemplateResult | typeof nothing {
    const { room } = this.#live
    if (!room) return nothing
    if (room.closed) {
      return html`<main class="closed">
        <p>${CLOSED[room.closed] ?? 'There is no such project, or it is not shared with you.'}</p>
        <a class="button" href="#/">All projects</a>
      </main>`
    }
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
