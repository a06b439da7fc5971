import { html, nothing, type TemplateResult } from 'lit'
import { customElement, property, query, state } from 'lit/decorators.js'

import { reasonOf } from '../errors'
import { knowsPasskeys, usePasskey } from '../passkey'
import type { Session } from '../session'
import type { Security } from './account'
import { Cancelled, Form, type Values } from './form'
import { LightElement } from './light'

/** Asks again who is there, in a dialog, before something that changes how one signs in. */
@customElement('atrium-proof')
export class Proof extends LightElement {
  @property({ attribute: false }) session!: Session
  @property({ attribute: false }) security!: Security
  @query('dialog') private dialog!: HTMLDialogElement
  @state() private factorOnly = false
  readonly #form = new Form(this)
  #settle: ((proven: boolean) => void) | null = null

  /** Do something; where the server wants a fresh proof first, ask for it and do it then. */
  async guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (reasonOf(error) !== 'proof_needed') throw error
      if (!(await this.ask())) throw new Cancelled()
      return work()
    }
  }

  /** Whether a proof was given; a password does not count as a second factor. */
  ask({ factorOnly = false } = {}): Promise<boolean> {
    this.factorOnly = factorOnly
    this.dialog.showModal()
    return new Promise((resolve) => (this.#settle = resolve))
  }

  async #give(proof: Record<string, unknown>): Promise<void> {
    await this.session.call('POST', '/auth/prove', proof)
    this.#over(true)
  }

  async #typed(values: Values): Promise<void> {
    const [name, value] = Object.entries(values).find(([, value]) => value) ?? ['password', '']
    await this.#give({ [name]: value })
  }

  async #passkey(): Promise<void> {
    const { options } = await this.session.open('/auth/passkey/begin', {})
    await this.#give({ passkey: await usePasskey(options as Record<string, unknown>) })
  }

  #over(proven: boolean): void {
    this.#settle?.(proven)
    this.#settle = null
    this.querySelector('form')?.reset()
    this.dialog.close()
  }

  protected override render(): TemplateResult {
    const form = this.#form
    const { password, totp, passkeys, recovery_codes } = this.security
    return html`<dialog aria-labelledby="proof-title" @close=${() => this.#over(false)}>
      <h2 id="proof-title">Is it still you?</h2>
      ${form.said()}
      <form @submit=${(event: SubmitEvent) => form.submit(event, (values) => this.#typed(values))}>
        ${password && !this.factorOnly ? form.field('password', 'Password', { type: 'password', autocomplete: 'current-password' }) : nothing}
        ${totp ? form.field('code', 'Code from your app', { autocomplete: 'one-time-code', inputmode: 'numeric', maxlength: 10 }) : nothing}
        ${recovery_codes && this.factorOnly ? form.field('recovery_code', 'Or a recovery code', { autocomplete: 'off', maxlength: 60 }) : nothing}
        <div class="form-end">
          <button class="primary" ?disabled=${form.off}>Confirm</button>
          ${passkeys && knowsPasskeys() ? html`<button type="button" ?disabled=${form.off} @click=${() => form.run(() => this.#passkey())}>Use a passkey</button>` : nothing}
          <button type="button" @click=${() => this.#over(false)}>Cancel</button>
        </div>
      </form>
    </dialog>`
  }
}
