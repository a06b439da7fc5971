import type { Branding } from './brand'
import { Refused, type Reply } from './errors'

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

  async signIn(email: string, password: string): Promise<void> {
    const data = await this.#post('/auth/login', { email, password })
    this.#take(data)
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

  /** What changed in the tenant while one was not connected. */
  async catchUp(): Promise<void> {
    const { tenant } = (await this.#get('/auth/me')).data as { tenant?: Tenant | null }
    if (tenant) this.retell(tenant)
  }

  /** The tenant has changed while one is in it. */
  retell(tenant: Partial<Tenant>): void {
    if (!this.tenant || this.tenant.id !== tenant.id) return
    const { name, slug, branding } = { ...this.tenant, ...tenant }
    this.tenant = { ...this.tenant, name, slug, branding }
    this.#keep()
  }

  async signOut(): Promise<void> {
    const refresh_token = this.#refreshToken
    const leaving = this.#post('/auth/logout', { refresh_token }).catch(() => undefined)
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
      const page = await this.#get(`${path}?limit=100${next && `&cursor=${encodeURIComponent(next)}`}`)
      items.push(...((page.data[key] as unknown[] | undefined) ?? []))
      next = page.meta?.pagination?.next ?? null
    }
    return items
  }

  /** An expired access token is renewed once. */
  async #get(path: string): Promise<Opened> {
    const once = (): Promise<Response> =>
      fetch(`${this.base}/api/v1${path}`, { headers: { Authorization: `Bearer ${this.accessToken}` } })
    let response = await once()
    if (response.status === 401) {
      await this.renew()
      response = await once()
    }
    return opened(response)
  }

  async #renew(): Promise<string> {
    try {
      this.#take(await this.#post('/auth/refresh', { refresh_token: this.#refreshToken }))
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
    this.tenant = tenant ?? this.tenant
    this.#keep()
  }

  #keep(): void {
    const kept: Kept = { refresh_token: this.#refreshToken, user: this.user as User, tenant: this.tenant }
    this.storage.setItem(KEPT, JSON.stringify(kept))
  }

  async #post(path: string, body: unknown): Promise<Record<string, unknown>> {
    const headers: Record<string, string> = { 'Content-Type': 'application/json' }
    if (path === '/auth/logout') headers.Authorization = `Bearer ${this.accessToken}`
    return (await opened(await fetch(`${this.base}/api/v1${path}`, { method: 'POST', headers, body: JSON.stringify(body) }))).data
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
