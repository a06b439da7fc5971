import { html, type TemplateResult } from 'lit'
import { customElement, property, state } from 'lit/decorators.js'

import type { Session } from '../session'
import { Form } from './form'
import { front } from './front'
import { LightElement } from './light'

/** A new account, and a team for it. Fires `signed-in`. */
@customElement('atrium-register')
export class RegisterPage extends LightElement {
  @property({ attribute: false }) session!: Session
  @state() private sentTo = ''
  readonly #form = new Form(this)

  async #register({ name, email, password, tenant_name }: Record<string, string>): Promise<void> {
    await this.session.enter('/auth/register', { name, email, password, ...(tenant_name && { tenant_name }) })
    if (this.session.signedIn) this.dispatchEvent(new Event('signed-in'))
    else this.sentTo = email ?? ''
  }

  protected override render(): TemplateResult {
    if (this.sentTo) {
      return front('Look into your mail', html`<p role="status">We have sent a mail to ${this.sentTo}. Follow the link in it, then sign in.</p>
        <a class="button" href="#/">Sign in</a>`)
    }
    const form = this.#form
    return front('Create an account', html`${form.said()}
      <form @submit=${(event: SubmitEvent) => form.submit(event, (values) => this.#register(values))}>
        ${form.field('name', 'Your name', { autocomplete: 'name', maxlength: 200, required: true })}
        ${form.field('email', 'Email', { type: 'email', autocomplete: 'username', required: true })}
        ${form.field('password', 'Password', { type: 'password', autocomplete: 'new-password', required: true })}
        ${form.field('tenant_name', 'Name of your team', { autocomplete: 'organization', maxlength: 200, hint: 'Leave it empty if somebody is going to invite you.' })}
        <button class="primary" ?disabled=${form.off}>Create account</button>
      </form>
      <nav class="ways" aria-label="Other ways"><a href="#/">I have an account</a></nav>`)
  }
}
