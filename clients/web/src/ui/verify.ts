import { html, type TemplateResult } from 'lit'
import { customElement, property, state } from 'lit/decorators.js'

import type { Session } from '../session'
import { Form } from './form'
import { front } from './front'
import { LightElement } from './light'
import { linkIsOver } from './reset-password'

/**
 * Where the link of a mail leads: the address is proven.
 *
 * By a button, not by itself: mail programs that look at links beforehand would use it up.
 */
@customElement('atrium-verify')
export class Verify extends LightElement {
  @property({ attribute: false }) session!: Session
  @property() token = ''
  @state() private verified = false
  readonly #form = new Form(this, linkIsOver)

  async #verify(): Promise<void> {
    await this.session.open('/auth/verify-email', { token: this.token })
    this.verified = true
  }

  protected override render(): TemplateResult {
    const go = html`<a class="button" href="#/">${this.session.signedIn ? 'Go on' : 'Sign in'}</a>`
    if (this.verified) return front('Thank you', html`<p role="status">Your email address is confirmed.</p>${go}`)
    const form = this.#form
    return front('Confirm your email address', html`${form.said()}
      <form @submit=${(event: SubmitEvent) => form.submit(event, () => this.#verify())}>
        <button class="primary" ?disabled=${form.off}>This is my address</button>
      </form>`)
  }
}
