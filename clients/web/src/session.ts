import type { Branding } from './brand'
import { Refused, type Reply } from './errors'
import type { Theme } from './theme'

export interface User {
  id: string
  name: string
  email?: string
}

export interface Tenant {
  id: string
  name: string
  slug?: string
  status?: string
  branding?: Branding
}

/** What a sign-in still asks for after the password. */
export interface Half {
  token: string
  methods: ('totp' | 'passkey' | 'recovery_code')[]
}

/** What survives a reload of this tab, and nothing else does. */
interface Kept {
  refresh_token: string
  user: User
  tenant: Tenant | null
}

interface Tokens {
  access_token: string
  refresh_token: string
  user?: User
  tenant?: Tenant | null
}

/** The sign-in is over: the refresh token was refused. */
export class SessionEnded extends Error {}

const KEPT = 'atrium.session'

/** Who is signed in, and the tokens that prove it. The access token stays in memory. */
export class Session {
  user: User | null = null
  tenant: Tenant | null = null
  accessToken = ''
  #refreshToken = ''
  #renewing: Promise<string> | null = null

  constructor(
    readonly storage: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>,
    readonly base = '',
  ) {}

  get signedIn(): boolean {
    return this.accessToken !== ''
  }

  signIn(email: string, password: string): Promise<Half | null> {
    return this.enter('/auth/login', { email, password })
  }

  /** Send what may sign in; gives what is still asked for. Whether one is in then, `signedIn` says. */
  async enter(path: string, body: Record<string, unknown>): Promise<Half | null> {
    const data = await this.open(path, body)
    if (data.access_token) this.adopt(data)
    return (data.second_factor as Half | undefined) ?? null
  }

  /** A call that needs no sign-in. */
  async open(path: string, body: unknown): Promise<Record<string, unknown>> {
    return (await this.#fetch('POST', path, body, null)).data
  }

  /** A call as whoever is signed in. */
  async call(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
    return (await this.#authorized(method, path, body)).data
  }

  /** Join with, or move to, what these tokens name. */
  adopt(data: Record<string, unknown>): void {
    this.#take(data)
  }

  /** The person has changed, in this window or another. */
  rename(user: Partial<User>): void {
    if (!this.user) return
    this.user = { ...this.user, ...(user.name !== undefined && { name: user.name }) }
    this.#keep()
  }

  /** Go on after a reload; false when nobody was signed in. */
  async resume(): Promise<boolean> {
    const kept = this.storage.getItem(KEPT)
    if (!kept) return false
    const { refresh_token, user, tenant } = JSON.parse(kept) as Kept
    Object.assign(this, { user, tenant })
    this.#refreshToken = refresh_token
    await this.renew()
    return true
  }

  /** A new access token. A refresh token works once, so callers at the same time share one request. */
  renew(): Promise<string> {
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = null))
    return this.#renewing
  }

  /** What changed about the tenant and oneself while one was not connected; gives the theme one has chosen. */
  async catchUp(): Promise<Theme> {
    const { user, tenant } = (await this.call('GET', '/auth/me')) as unknown as { user: User & { theme: Theme }; tenant?: Tenant | null }
    if (tenant) this.retell(tenant)
    this.rename(user)
    return user.theme
  }

  /** The tenant has changed while one is in it. */
  retell(tenant: Partial<Tenant>): void {
    if (!this.tenant || this.tenant.id !== tenant.id) return
    const { name, slug, branding } = { ...this.tenant, ...tenant }
    this.tenant = { ...this.tenant, name, slug, branding }
    this.#keep()
  }

  async signOut(): Promise<void> {
    const leaving = this.#fetch('POST', '/auth/logout', { refresh_token: this.#refreshToken }, this.accessToken).catch(() => undefined)
    this.forget()
    await leaving
  }

  forget(): void {
    this.user = this.tenant = null
    this.accessToken = this.#refreshToken = ''
    this.storage.removeItem(KEPT)
  }

  /** Every item of a list, page by page. */
  async list(path: string, key: string): Promise<unknown[]> {
    const items: unknown[] = []
    for (let next: string | null = ''; next !== null; ) {
      const page = await this.#authorized('GET', `${path}?limit=100${next && `&cursor=${encodeURIComponent(next)}`}`)
      items.push(...((page.data[key] as unknown[] | undefined) ?? []))
      next = page.meta?.pagination?.next ?? null
    }
    return items
  }

  /** An expired access token is renewed once. */
  async #authorized(method: string, path: string, body?: unknown): Promise<Opened> {
    try {
      return await this.#fetch(method, path, body, this.accessToken)
    } catch (error) {
      if (!(error instanceof Refused) || error.error.code !== 'UNAUTHORIZED') throw error
    }
    await this.renew()
    return this.#fetch(method, path, body, this.accessToken)
  }

  async #renew(): Promise<string> {
    try {
      this.#take(await this.open('/auth/refresh', { refresh_token: this.#refreshToken }))
      return this.accessToken
    } catch (error) {
      // Only a clear no ends the session; a server that is down or busy is asked again later.
      if (error instanceof Refused && !['UNAVAILABLE', 'RATE_LIMITED', 'INTERNAL'].includes(error.error.code)) {
        this.forget()
        throw new SessionEnded('Your session has ended. Please sign in again.')
      }
      throw error
    }
  }

  #take(data: Record<string, unknown>): void {
    const { access_token, refresh_token, user, tenant } = data as unknown as Tokens
    this.accessToken = access_token
    this.#refreshToken = refresh_token
    this.user = user ?? this.user
    // A reply that names no tenant says that there is none any more.
    if (tenant !== undefined) this.tenant = tenant
    this.#keep()
  }

  #keep(): void {
    const kept = { refresh_token: this.#refreshToken, user: this.user, tenant: this.tenant }
    this.storage.setItem(KEPT, JSON.stringify(kept))
  }

  async #fetch(method: string, path: string, body: unknown, bearer: string | null): Promise<Opened> {
    const headers: Record<string, string> = {}
    // No other site's page can send either of these by itself.
    if (body !== undefined) Object.assign(headers, { 'Content-Type': 'application/json', 'X-Requested-With': 'fetch' })
    if (bearer !== null) headers.Authorization = `Bearer ${bearer}`
    const init = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) }
    return opened(await fetch(`${this.base}/api/v1${path}`, init))
  }
}

interface Opened {
  data: Record<string, unknown>
  meta?: { pagination?: { next?: string | null } }
}

/** The content of an envelope; a refusal, or an answer that is no envelope at all, is thrown. */
async function opened(response: Response): Promise<Opened> {
  const reply = (await response.json().catch(() => null)) as (Reply & Opened) | null
  if (!reply) throw new Refused({ code: 'UNAVAILABLE', message: 'The server did not answer.' })
  if (!reply.success) throw new Refused(reply.error, reply.request_id)
  return reply
}

export interface DemoAccount {
  email: string
  name: string
  role: string
  password: string
}

/** The accounts of a demo server; any other server has none. */
export async function demoAccounts(base = ''): Promise<DemoAccount[]> {
  try {
    const response = await fetch(`${base}/api/v1/demo`)
    if (!response.ok) return []
    const reply = (await response.json()) as { success: boolean; data?: { accounts?: DemoAccount[] } }
    return (reply.success && reply.data?.accounts) || []
  } catch {
    return []
  }
}
