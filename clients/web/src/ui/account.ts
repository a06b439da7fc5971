import { html, nothing, type TemplateResult } from 'lit'
import { customElement, property, query, state } from 'lit/decorators.js'

import type { Session } from '../session'
import './change-password'
import { Form } from './form'
import { LightElement } from './light'
import './passkeys'
import './profile'
import './proof'
import type { Proof } from './proof'
import './sessions'
import './teams'
import './totp'

export interface Security {
  password: boolean
  totp: boolean
  passkeys: number
  recovery_codes: number
}

export interface Me {
  user: { id: string; name: string; email: string; avatar_url: string | null; timezone: string; language: string; theme: 'light' | 'dark' | 'auto' }
  security: Security
  memberships: { tenant_id: string; tenant_status: string; name: string; role: string }[]
}

/** Does a call, asking for a proof first where the server wants one. */
export type Guarded = <T>(work: () => Promise<T>) => Promise<T>

/** One's own account. Fires `secured` when a factor was added or taken away. */
@customElement('atrium-account')
export class Account extends LightElement {
  @property({ attribute: false }) session!: Session
  @state() private me: Me | null = null
  @query('atrium-proof') private proof!: Proof
  readonly #form = new Form(this)

  override connectedCallback(): void {
    super.connectedCallback()
    void this.#load()
  }

  #load(): Promise<void> {
    return this.#form.read(async () => {
      this.me = (await this.session.call('GET', '/auth/me')) as unknown as Me
    })
  }

  async #secured(): Promise<void> {
    await this.#load()
    this.dispatchEvent(new Event('secured'))
  }

  readonly #guarded: Guarded = (work) => this.proof.guard(work)

  protected override render(): TemplateResult {
    const { me, session } = this
    return html`<main class="page">
      <h1>Your account</h1>
      ${this.#form.said()}
      ${me
        ? html`<atrium-profile .session=${session} .me=${me} @saved=${() => this.#load()}></atrium-profile>
            <atrium-change-password .session=${session}></atrium-change-password>
            <atrium-totp .session=${session} .security=${me.security} .guarded=${this.#guarded} @secured=${() => this.#secured()}></atrium-totp>
            <atrium-passkeys .session=${session} .guarded=${this.#guarded} @secured=${() => this.#secured()}></atrium-passkeys>
            <atrium-sessions .session=${session}></atrium-sessions>
            <atrium-teams .session=${session} .me=${me}></atrium-teams>
            <atrium-proof .session=${session} .security=${me.security}></atrium-proof>`
        : nothing}
    </main>`
  }
}
