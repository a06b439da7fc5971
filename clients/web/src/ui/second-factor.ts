import { html, nothing, type TemplateResult } from 'lit'
import { customElement, property, state } from 'lit/decorators.js'

import type { WireError } from '../errors'
import { knowsPasskeys, usePasskey } from '../passkey'
import type { Half, Session } from '../session'
import { Form } from './form'
import { front } from './front'
import { LightElement } from './light'

type Method = Half['methods'][number]

const ASKS: Record<Method, { lead: string; other: string }> = {
  totp: { lead: 'Enter the code that your authenticator app shows.', other: 'Use a code from the app' },
  passkey: { lead: 'Use a passkey of your device or your security key.', other: 'Use a passkey' },
  recovery_code: { lead: 'Enter one of your recovery codes. Each works once.', other: 'Use a recovery code' },
}

/** The other half of a sign-in. Fires `signed-in`, and `start-over` when the password is needed again. */
@customElement('atrium-second-factor')
export class SecondFactor extends LightElement {
  @property({ attribute: false }) session!: Session
  @property({ attribute: false }) half!: Half
  @state() private method: Method | null = null
  readonly #form = new Form(this, (error) => this.#words(error))

  get #methods(): Method[] {
    return this.half.methods.filter((method) => method !== 'passkey' || knowsPasskeys())
  }

  get #chosen(): Method {
    return this.method ?? this.#methods[0] ?? 'recovery_code'
  }

  protected override firstUpdated(): void {
    this.#focus()
  }

  async #choose(method: Method): Promise<void> {
    this.method = method
    await this.updateComplete
    this.#focus()
  }

  #focus(): void {
    this.querySelector<HTMLElement>('form input, form button')?.focus()
  }

  async #give(proof: Record<string, unknown>): Promise<void> {
    await this.session.enter('/auth/second-factor', { token: this.half.token, ...proof })
    this.dispatchEvent(new Event('signed-in', { bubbles: true }))
  }

  async #passkey(): Promise<void> {
    const { options } = await this.session.open('/auth/passkey/begin', { token: this.half.token })
    await this.#give({ passkey: await usePasskey(options as Record<string, unknown>) })
  }

  #words({ code, details }: WireError): string | Record<string, string> | undefined {
    if (code !== 'UNAUTHORIZED') return undefined
    if (details?.reason !== 'wrong_factor') {
      this.#startOver('That took too long, or had too many tries. Please enter your password again.')
      return ''
    }
    const left = Number(details.tries_left)
    const said = `That is not right, or has been used. ${left === 1 ? 'One try is' : `${left} tries are`} left.`
    const field = { totp: 'code', recovery_code: 'recovery_code', passkey: '' }[this.#chosen]
    return field ? { [field]: said } : said
  }

  #startOver(notice: string): void {
    this.dispatchEvent(new CustomEvent('start-over', { detail: notice }))
  }

  protected override render(): TemplateResult {
    const chosen = this.#chosen
    const others = this.#methods.filter((method) => method !== chosen)
    const content = html`${this.#form.said()} ${this.#ask(chosen)}
      <nav class="ways" aria-label="Other ways">
        ${others.map((method) => html`<button class="link" @click=${() => this.#choose(method)}>${ASKS[method].other}</button>`)}
        <button class="link" @click=${() => this.#startOver('')}>Back</button>
      </nav>`
    return front('One more step', content, { lead: ASKS[chosen].lead })
  }

  #ask(method: Method): TemplateResult {
    const form = this.#form
    const field =
      method === 'totp'
        ? form.field('code', 'Code', { autocomplete: 'one-time-code', inputmode: 'numeric', maxlength: 10, required: true })
        : method === 'recovery_code'
          ? form.field('recovery_code', 'Recovery code', { autocomplete: 'off', maxlength: 60, required: true })
          : nothing
    const give = (event: SubmitEvent): Promise<void> =>
      form.submit(event, (values) => (method === 'passkey' ? this.#passkey() : this.#give(values)))
    return html`<form @submit=${give}>
      ${field}<button class="primary" ?disabled=${form.off}>${method === 'passkey' ? 'Use a passkey' : 'Go on'}</button>
    </form>`
  }
}
