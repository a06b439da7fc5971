import { html, type TemplateResult } from 'lit'
import { customElement, state } from 'lit/decorators.js'

import { Session, SessionEnded } from '../session'
import { LightElement } from './light'
import './sign-in'
import './workspace'

const TRY_AGAIN_MS = 2_000

/** The whole page: signed out, or at work. */
@customElement('atrium-app')
export class App extends LightElement {
  @state() private at: 'start' | 'sign-in' | 'work' = 'start'
  @state() private notice = ''
  readonly #session = new Session(sessionStorage)

  override connectedCallback(): void {
    super.connectedCallback()
    void this.#resume()
  }

  async #resume(): Promise<void> {
    try {
      this.at = (await this.#session.resume()) ? 'work' : 'sign-in'
    } catch (error) {
      if (error instanceof SessionEnded) return this.#ended(error.message)
      this.notice = 'The server cannot be reached. Trying again…'
      setTimeout(() => void this.#resume(), TRY_AGAIN_MS)
    }
  }

  #ended(notice = ''): void {
    this.#session.forget()
    this.notice = notice
    this.at = 'sign-in'
  }

  protected override render(): TemplateResult {
    if (this.at === 'start') return html`<main class="starting" role="status">${this.notice}</main>`
    if (this.at === 'sign-in') {
      return html`<atrium-sign-in
        .session=${this.#session}
        .notice=${this.notice}
        @signed-in=${() => (this.at = 'work')}
      ></atrium-sign-in>`
    }
    return html`<atrium-workspace
      .session=${this.#session}
      @signed-out=${() => this.#ended()}
      @session-ended=${() => this.#ended('Your session has ended. Please sign in again.')}
    ></atrium-workspace>`
  }
}
