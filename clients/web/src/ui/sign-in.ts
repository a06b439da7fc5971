import { html, nothing, type TemplateResult } from 'lit'
import { customElement, property, state } from 'lit/decorators.js'

import { lookOfThisPage, productOf, wear, type Branding } from '../brand'
import { Refused } from '../errors'
import { demoAccounts, type DemoAccount, type Session } from '../session'
import { avatar } from './avatar'
import { LightElement } from './light'
import { sign } from './top-bar'

/** The page before sign-in. Fires `signed-in`. */
@customElement('atrium-sign-in')
export class SignIn extends LightElement {
  @property({ attribute: false }) session!: Session
  @property() notice = ''
  @state() private accounts: DemoAccount[] = []
  @state() private problem = ''
  @state() private busy = false
  @state() private look: Branding = {}

  override connectedCallback(): void {
    super.connectedCallback()
    void lookOfThisPage().then((look) => {
      this.look = look
      wear(look)
      document.title = productOf(look)
    })
    void demoAccounts().then((accounts) => (this.accounts = accounts))
  }

  async #signIn(email: string, password: string): Promise<void> {
    this.busy = true
    this.problem = ''
    try {
      await this.session.signIn(email, password)
      this.dispatchEvent(new Event('signed-in'))
    } catch (error) {
      this.problem = problemOf(error)
    } finally {
      this.busy = false
    }
  }

  #submit(event: SubmitEvent): void {
    event.preventDefault()
    const form = new FormData(event.target as HTMLFormElement)
    void this.#signIn(String(form.get('email')), String(form.get('password')))
  }

  protected override render(): TemplateResult {
    const problem = this.problem || this.notice
    return html`<main class="sign-in">
      <div class="sign-in-card">
        <header>${sign({ logo_url: this.look.logo_url })}<h1>${productOf(this.look)}</h1></header>
        <p class="lead">Boards that stay in step, for everybody at once.</p>
        ${problem ? html`<p class="problem" role="alert">${problem}</p>` : nothing}
        <form @submit=${this.#submit}>
          <label>Email <input name="email" type="email" autocomplete="username" required /></label>
          <label>Password <input name="password" type="password" autocomplete="current-password" required /></label>
          <button class="primary" ?disabled=${this.busy}>Sign in</button>
        </form>
        ${this.accounts.length ? this.#demo() : nothing}
      </div>
    </main>`
  }

  #demo(): TemplateResult {
    return html`<section class="demo" aria-labelledby="demo-title">
      <h2 id="demo-title">Or look around as</h2>
      <div class="demo-accounts">${this.accounts.map((account) => this.#account(account))}</div>
      <p class="hint">Open a second window as somebody else, and watch.</p>
    </section>`
  }

  #account({ email, name, role, password }: DemoAccount): TemplateResult {
    return html`<button class="demo-account" ?disabled=${this.busy} @click=${() => this.#signIn(email, password)}>
      ${avatar({ id: email, name })}<span class="demo-name">${name}</span><span class="role">${role}</span>
    </button>`
  }
}

function problemOf(error: unknown): string {
  if (!(error instanceof Refused)) return 'The server cannot be reached. Please try again in a moment.'
  switch (error.error.code) {
    case 'UNAUTHORIZED':
      return 'That email and password do not go together.'
    case 'RATE_LIMITED':
      return 'Too many tries. Please wait a little.'
    case 'VALIDATION_ERROR':
      return 'Please enter a valid email address and a password.'
    default:
      return error.error.message
  }
}
