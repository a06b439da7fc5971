import { html, type TemplateResult } from 'lit'
import { customElement, property, state } from 'lit/decorators.js'

import type { Session } from '../session'
import { Form } from './form'
import { front } from './front'
import { LightElement } from './light'

/** Asks for a link by mail. Whether there is such an account is told to nobody. */
@customElement('atrium-forgot-password')
export class ForgotPassword extends LightElement {
  @property({ attribute: false }) session!: Session
  @state() private sentTo = ''
  readonly #form = new Form(this)

  async #send(email: string): Promise<void> {
    await this.session.open('/auth/forgot-password', { email })
    this.sentTo = email
  }

  protected override render(): TemplateResult {
    const back = html`<nav class="ways" aria-label="Other ways"><a href="#/">Back to sign-in</a></nav>`
    if (this.sentTo) {
      return front('Look into your mail', html`<p role="status">If ${this.sentTo} has an account here, a link for a new password is on its way.</p>${back}`)
    }
    const form = this.#form
    return front('Forgot your password?', html`${form.said()}
      <form @submit=${(event: SubmitEvent) => form.submit(event, ({ email }) => this.#send(email!))}>
        ${form.field('email', 'Email', { type: 'email', autocomplete: 'username', required: true })}
        <button class="primary" ?disabled=${form.off}>Send me a link</button>
      </form>${back}`, { lead: 'We send you a link with which you choose a new one.' })
  }
}
