import { html, nothing, type TemplateResult } from 'lit'
import { customElement, property, state } from 'lit/decorators.js'

import type { Session } from '../session'
import { momentOf } from './due'
import { Form } from './form'
import { LightElement } from './light'

interface SignIn {
  id: string
  device: string
  address: string
  created_at: string
  last_used_at: string
  current: boolean
}

/** Where one is signed in, and how to end that. */
@customElement('atrium-sessions')
export class Sessions extends LightElement {
  @property({ attribute: false }) session!: Session
  @state() private sessions: SignIn[] = []
  readonly #form = new Form(this)

  override connectedCallback(): void {
    super.connectedCallback()
    void this.#form.read(() => this.#load())
  }

  async #load(): Promise<void> {
    const sessions = (await this.session.call('GET', '/auth/sessions')).sessions as SignIn[]
    this.sessions = [...sessions].sort((a, b) => Number(b.current) - Number(a.current))
  }

  async #end({ id, device }: SignIn): Promise<string> {
    await this.session.call('DELETE', `/auth/sessions/${id}`)
    await this.#load()
    return `${device} is signed out.`
  }

  async #endOthers(): Promise<string> {
    await this.session.call('DELETE', '/auth/sessions')
    await this.#load()
    return 'You are signed out everywhere else.'
  }

  protected override render(): TemplateResult {
    const form = this.#form
    const others = this.sessions.some((session) => !session.current)
    return html`<section class="sheet" aria-labelledby="sessions-title">
      <h2 id="sessions-title">Where you are signed in</h2>
      ${form.said()}
      <ul class="rows">${this.sessions.map((session) => this.#row(session))}</ul>
      ${others ? html`<div class="form-end"><button ?disabled=${form.off} @click=${() => form.run(() => this.#endOthers())}>Sign out everywhere else</button></div>` : nothing}
    </section>`
  }

  #row(session: SignIn): TemplateResult {
    const { device, address, created_at, last_used_at, current } = session
    return html`<li class="row">
      <div class="row-main">
        <strong>${device}</strong>
        <span class="field-hint">${address}, since ${momentOf(created_at)}, last used ${momentOf(last_used_at)}</span>
      </div>
      ${current
        ? html`<span class="chip feature">This window</span>`
        : html`<button class="small" aria-label="Sign out ${device}" ?disabled=${this.#form.off} @click=${() => this.#form.run(() => this.#end(session))}>Sign out</button>`}
    </li>`
  }
}
