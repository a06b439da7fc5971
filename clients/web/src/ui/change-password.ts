import { html, type TemplateResult } from 'lit'
import { customElement, property } from 'lit/decorators.js'

import type { Session } from '../session'
import { Form } from './form'
import { LightElement } from './light'

/** Another password; all other sessions end. */
@customElement('atrium-change-password')
export class ChangePassword extends LightElement {
  @property({ attribute: false }) session!: Session
  readonly #form = new Form(this)

  protected override render(): TemplateResult {
    const form = this.#form
    const change = (event: SubmitEvent): Promise<void> =>
      form.submit(event, async ({ current_password, new_password }, inputs) => {
        await this.session.call('POST', '/auth/change-password', { current_password, new_password })
        inputs.reset()
        return 'Your password is changed, and you are signed out everywhere else.'
      })
    return html`<section class="sheet" aria-labelledby="password-title">
      <h2 id="password-title">Password</h2>
      <form class="two" @submit=${change}>
        ${form.field('current_password', 'Current password', { type: 'password', autocomplete: 'current-password', required: true })}
        ${form.field('new_password', 'New password', { type: 'password', autocomplete: 'new-password', required: true })}
        <div class="form-end">${form.said()}<button class="primary" ?disabled=${form.off}>Change password</button></div>
      </form>
    </section>`
  }
}
