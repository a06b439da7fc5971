import { html, type TemplateResult } from 'lit'
import { customElement, property, state } from 'lit/decorators.js'

import { reasonOf, Refused } from '../errors'
import type { Half, Session } from '../session'
import { notSignedIn } from '../sso'
import { Form } from './form'
import { front } from './front'
import { LightElement } from './light'
import { replaceHash } from './route'
import './second-factor'

/** Where a provider sends people back to, with a code for tokens or with what went wrong. Fires `signed-in`. */
@customElement('atrium-signed-in')
export class SignedInPage extends LightElement {
  @property({ attribute: false }) session!: Session
  @property({ attribute: false }) asked!: URLSearchParams
  @state() private half: Half | null = null
  @state() private problem = ''
  readonly #form = new Form(this, (error) => (['UNAUTHORIZED', 'FORBIDDEN'].includes(error.code) ? notSignedIn(reasonOf(new Refused(error))) : undefined))

  override connectedCallback(): void {
    super.connectedCallback()
    const error = this.asked.get('error')
    if (error !== null) this.problem = notSignedIn(error)
    else void this.#form.run(() => this.#exchange(this.asked.get('code') ?? ''))
  }

  async #exchange(code: string): Promise<void> {
    this.half = await this.session.enter('/auth/oidc/exchange', { code })
    if (!this.half) this.#in()
  }

  #in(): void {
    replaceHash('#/')
    this.dispatchEvent(new Event('signed-in'))
  }

  protected override render(): TemplateResult {
    if (this.half) {
      return html`<atrium-second-factor .session=${this.session} .half=${this.half} @signed-in=${this.#in} @start-over=${() => replaceHash('#/')}></atrium-second-factor>`
    }
    const busy = this.#form.busy
    const content = html`${this.#form.said()} ${busy ? html`<p role="status">One moment…</p>` : html`<a class="button" href="#/">Back to sign-in</a>`}`
    return front('Sign-in', content, { notice: this.problem })
  }
}
