import { html, type TemplateResult } from 'lit'
import { customElement, state } from 'lit/decorators.js'
import { keyed } from 'lit/directives/keyed.js'

import { movedAway, sessionOver } from '../farewell'
import { Session, SessionEnded } from '../session'
import './forgot-password'
import './invitation'
import { LightElement } from './light'
import './register'
import './reset-password'
import { routeOf, type Route } from './route'
import './sign-in'
import './signed-in'
import './verify'
import './workspace'

const TRY_AGAIN_MS = 2_000

/** The whole page: signed out, at work, or where a mail leads. */
@customElement('atrium-app')
export class App extends LightElement {
  @state() private starting = true
  @state() private notice = ''
  @state() private route: Route = routeOf(location.hash)
  readonly #session = new Session(sessionStorage)

  override connectedCallback(): void {
    super.connectedCallback()
    addEventListener('hashchange', this.#navigate)
    void this.#resume()
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback()
    removeEventListener('hashchange', this.#navigate)
  }

  readonly #navigate = (): void => {
    this.route = routeOf(location.hash)
  }

  async #resume(): Promise<void> {
    try {
      await this.#session.resume()
      this.starting = false
    } catch (error) {
      if (error instanceof SessionEnded) return this.#ended(error.message)
      this.notice = 'The server cannot be reached. Trying again…'
      setTimeout(() => void this.#resume(), TRY_AGAIN_MS)
    }
  }

  #ended(notice = ''): void {
    this.#session.forget()
    this.notice = notice
    this.starting = false
    this.requestUpdate()
  }

  #signedIn(): void {
    this.notice = ''
    this.requestUpdate()
  }

  #moved({ detail: from }: CustomEvent<string>): void {
    this.notice = from ? movedAway(from, this.#session.tenant?.name ?? null) : ''
    this.requestUpdate()
  }

  protected override render(): TemplateResult {
    if (this.starting) return html`<main class="starting" role="status">${this.notice}</main>`
    const session = this.#session
    const token = this.route.asked.get('token') ?? ''
    switch (this.route.screen) {
      case 'verify':
        return html`<atrium-verify .session=${session} .token=${token}></atrium-verify>`
      case 'reset-password':
        return html`<atrium-reset-password .session=${session} .token=${token}></atrium-reset-password>`
      case 'invitation':
        return html`${keyed(token, html`<atrium-invitation .session=${session} .token=${token} @signed-in=${this.#signedIn}></atrium-invitation>`)}`
      case 'signed-in':
        return html`<atrium-signed-in .session=${session} .asked=${this.route.asked} @signed-in=${this.#signedIn}></atrium-signed-in>`
    }
    return session.signedIn ? this.#work() : this.#outside()
  }

  #outside(): TemplateResult {
    const session = this.#session
    switch (this.route.screen) {
      case 'register':
        return html`<atrium-register .session=${session} @signed-in=${this.#atWork}></atrium-register>`
      case 'forgot-password':
        return html`<atrium-forgot-password .session=${session}></atrium-forgot-password>`
    }
    return html`<atrium-sign-in .session=${session} .notice=${this.notice} @signed-in=${this.#signedIn}></atrium-sign-in>`
  }

  #atWork(): void {
    location.hash = '#/'
    this.#signedIn()
  }

  #work(): TemplateResult {
    const tenant = this.#session.tenant?.id ?? ''
    return html`${keyed(tenant, html`<atrium-workspace
      .session=${this.#session}
      .notice=${this.notice}
      @moved=${this.#moved}
      @signed-out=${() => this.#ended()}
      @session-ended=${({ detail }: CustomEvent<boolean | string>) => this.#ended(typeof detail === 'string' ? detail : sessionOver(detail))}
    ></atrium-workspace>`)}`
  }
}
