import { html, nothing, type TemplateResult } from 'lit'
import { customElement, property, query, state } from 'lit/decorators.js'

import type { WireError } from '../errors'
import { barredBy } from '../farewell'
import type { Session } from '../session'
import type { Me, Security } from './account'
import { Form } from './form'
import { LightElement } from './light'
import './proof'
import type { Proof } from './proof'

/** Why nobody gets in, and the way on where there is one. Fires `secured` after a second factor was given. */
@customElement('atrium-barred')
export class Barred extends LightElement {
  @property({ attribute: false }) session!: Session
  @property({ attribute: false }) error!: WireError
  @state() private security: Security | null = null
  @query('atrium-proof') private proof!: Proof
  readonly #form = new Form(this)

  override connectedCallback(): void {
    super.connectedCallback()
    if (this.error.details?.reason !== 'second_factor_required') return
    void this.#form.read(async () => {
      this.security = ((await this.session.call('GET', '/auth/me')) as unknown as Me).security
    })
  }

  async #prove(): Promise<void> {
    if (await this.proof.ask({ factorOnly: true })) this.dispatchEvent(new Event('secured'))
  }

  protected override render(): TemplateResult {
    const { title, text } = barredBy(this.error)
    const { security } = this
    const has = security && (security.totp || security.passkeys > 0)
    return html`<main class="closed" role="status">
      <h1>${title}</h1>
      <p>${text}</p>
      ${this.#form.said()}
      <div class="form-end">
        ${has ? html`<button class="primary" @click=${() => this.#prove()}>Use my second factor</button>` : nothing}
        <a class="button" href="#/account">${security && !has ? 'Set up a second factor' : 'Your account'}</a>
      </div>
      ${security ? html`<atrium-proof .session=${this.session} .security=${security}></atrium-proof>` : nothing}
    </main>`
  }
}
