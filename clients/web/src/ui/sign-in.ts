import { html, nothing, type TemplateResult } from 'lit'
import { customElement, property, state } from 'lit/decorators.js'

import { lookOfThisPage, productOf, wear, type Branding } from '../brand'
import { reasonOf, Refused, type WireError } from '../errors'
import { knowsPasskeys, usePasskey } from '../passkey'
import { demoAccounts, type DemoAccount, type Half, type Session } from '../session'
import { issuers, notSignedIn, startOf, type Issuer } from '../sso'
import { avatar } from './avatar'
import { Form } from './form'
import { front } from './front'
import { LightElement } from './light'
import './second-factor'

/** The page before sign-in. Fires `signed-in`. */
@customElement('atrium-sign-in')
export class SignIn extends LightElement {
  @property({ attribute: false }) session!: Session
  @property() notice = ''
  /** What the sign-in is for, e.g. an invitation to accept. */
  @property() lead = 'Boards that stay in step, for everybody at once.'
  @state() private accounts: DemoAccount[] = []
  @state() private issuers: Issuer[] = []
  @state() private look: Branding = {}
  @state() private half: Half | null = null
  @state() private unverified = ''
  readonly #form = new Form(this, wrongPassword)

  override connectedCallback(): void {
    super.connectedCallback()
    void lookOfThisPage().then((look) => {
      this.look = look
      wear(look)
      document.title = productOf(look)
    })
    void this.#findIssuers()
    void demoAccounts().then((accounts) => (this.accounts = accounts))
  }

  /** With an address come the providers of its company, too. */
  async #findIssuers(email = ''): Promise<void> {
    this.issuers = await issuers(email)
  }

  #typed({ target }: Event): void {
    const { name, value, validity } = target as HTMLInputElement
    if (name === 'email' && value && validity.valid) void this.#findIssuers(value)
  }

  async #signIn(email: string, password: string): Promise<void> {
    this.notice = this.unverified = ''
    try {
      this.half = await this.session.signIn(email, password)
    } catch (error) {
      if (reasonOf(error) === 'email_not_verified') this.unverified = email
      throw error
    }
    if (!this.half) this.dispatchEvent(new Event('signed-in'))
  }

  async #byPasskey(): Promise<void> {
    this.notice = ''
    const { options } = await this.session.open('/auth/passkey/begin', {})
    const passkey = await usePasskey(options as Record<string, unknown>)
    this.half = await this.session.enter('/auth/passkey/finish', { passkey })
    this.dispatchEvent(new Event('signed-in'))
  }

  async #sendAgain(): Promise<string> {
    await this.session.open('/auth/resend-verification', { email: this.unverified })
    this.unverified = ''
    return 'The mail is on its way.'
  }

  #startOver({ detail }: CustomEvent<string>): void {
    this.half = null
    this.notice = detail
  }

  protected override render(): TemplateResult {
    if (this.half) {
      return html`<atrium-second-factor .session=${this.session} .half=${this.half} @start-over=${this.#startOver}></atrium-second-factor>`
    }
    const form = this.#form
    const content = html`${form.said()}
      ${this.unverified ? html`<button class="link again" @click=${() => form.run(() => this.#sendAgain())}>Send the mail again</button>` : nothing}
      <form @change=${this.#typed} @submit=${(event: SubmitEvent) => form.submit(event, ({ email, password }) => this.#signIn(email!, password!))}>
        ${form.field('email', 'Email', { type: 'email', autocomplete: 'username', required: true })}
        ${form.field('password', 'Password', { type: 'password', autocomplete: 'current-password', required: true })}
        <button class="primary" ?disabled=${form.off}>Sign in</button>
      </form>
      ${knowsPasskeys() ? html`<button class="other-way" ?disabled=${form.busy} @click=${() => form.run(() => this.#byPasskey())}>Sign in with a passkey</button>` : nothing}
      ${this.issuers.map((issuer) => html`<a class="button other-way" href=${startOf(issuer)}>Sign in with ${issuer.name}</a>`)}
      <nav class="ways" aria-label="Other ways">
        <a href="#/forgot-password">Forgot password?</a><a href="#/register">Create an account</a>
      </nav>
      ${this.accounts.length ? this.#demo() : nothing}`
    return front(productOf(this.look), content, { lead: this.lead, notice: this.notice, look: this.look })
  }

  #demo(): TemplateResult {
    return html`<section class="demo" aria-labelledby="demo-title">
      <h2 id="demo-title">Or look around as</h2>
      <div class="demo-accounts">${this.accounts.map((account) => this.#account(account))}</div>
      <p class="hint">Open a second window as somebody else, and watch.</p>
    </section>`
  }

  #account({ email, name, role, password }: DemoAccount): TemplateResult {
    const signIn = (): Promise<boolean> => this.#form.run(() => this.#signIn(email, password))
    return html`<button class="demo-account" ?disabled=${this.#form.busy} @click=${signIn}>
      ${avatar({ id: email, name })}<span class="demo-name">${name}</span><span class="role">${role}</span>
    </button>`
  }
}

function wrongPassword(error: WireError): string | undefined {
  if (error.code === 'VALIDATION_ERROR') return 'Please enter a valid email address and a password.'
  if (error.code === 'UNAUTHORIZED') return 'That email and password do not go together.'
  if (reasonOf(new Refused(error)) === 'email_not_verified') return 'Please follow the link in our mail first: it shows that the address is yours.'
  if (error.details?.reason === 'sso_required') return notSignedIn('sso_required')
  return undefined
}
