import { html, type TemplateResult } from 'lit'
import { customElement, property, state } from 'lit/decorators.js'

import type { WireError } from '../errors'
import type { Session } from '../session'
import { Form } from './form'
import { front } from './front'
import { LightElement } from './light'

/** Where the link of a mail leads: a new password. All sessions end with the old one. */
@customElement('atrium-reset-password')
export class ResetPassword extends LightElement {
  @property({ attribute: false }) session!: Session
  @property() token = ''
  @state() private set = false
  readonly #form = new Form(this, linkIsOver)

  async #reset(new_password: string): Promise<void> {
    await this.session.open('/auth/reset-password', { token: this.token, new_password })
    this.session.forget()
    this.set = true
  }

  protected override render(): TemplateResult {
    if (this.set) {
      return front('Password changed', html`<p role="status">You have been signed out everywhere. Sign in with your new password.</p>
        <a class="button" href="#/">Sign in</a>`)
    }
    const form = this.#form
    return front('Choose a new password', html`${form.said()}
      <form @submit=${(event: SubmitEvent) => form.submit(event, ({ new_password }) => this.#reset(new_password!))}>
        ${form.field('new_password', 'New password', { type: 'password', autocomplete: 'new-password', required: true })}
        <button class="primary" ?disabled=${form.off}>Change password</button>
      </form>
      <nav class="ways" aria-label="Other ways"><a href="#/forgot-password">Send me another link</a></nav>`)
  }
}

/** Links work once and expire. */
export function linkIsOver({ field_errors }: WireError): string | undefined {
  return field_errors?.token ? 'This link was used already, or is too old. Please ask for another one.' : undefined
}
