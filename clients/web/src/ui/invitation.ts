import { html, nothing, type TemplateResult } from 'lit'
import { customElement, property, state } from 'lit/decorators.js'

import { wear, type Branding } from '../brand'
import { reasonOf, Refused, type WireError } from '../errors'
import { nameOf } from '../roles'
import type { Session } from '../session'
import { dateOf } from './due'
import { Form } from './form'
import { front } from './front'
import { LightElement } from './light'
import { replaceHash } from './route'
import './sign-in'

interface Offer {
  tenant: string
  role: string
  inviter: string
  email: string | null
  name: string
  expires_at: string | null
  branding: Branding
}

/** Where an invitation leads: join with one's account or a new one, or decline. Fires `signed-in`. */
@customElement('atrium-invitation')
export class InvitationPage extends LightElement {
  @property({ attribute: false }) session!: Session
  @property() token = ''
  @state() private offer: Offer | null = null
  @state() private as: 'newcomer' | 'known' | 'declined' | 'registered' = 'newcomer'
  readonly #form = new Form(this, refusal)

  override connectedCallback(): void {
    super.connectedCallback()
    void this.#form.run(async () => {
      this.offer = (await this.session.open('/invitations/look', { token: this.token })) as unknown as Offer
      wear(this.offer.branding)
    })
  }

  async #accept(): Promise<void> {
    this.session.adopt(await this.session.call('POST', '/invitations/accept', { token: this.token }))
    this.#in()
  }

  async #register(values: Record<string, string>): Promise<void> {
    const email = this.offer?.email ? {} : { email: values.email }
    try {
      await this.session.enter('/invitations/register', { token: this.token, name: values.name, password: values.password, ...email })
    } catch (error) {
      // The address has an account: its owner signs in, and then accepts.
      if (error instanceof Refused && error.error.code === 'CONFLICT') this.as = 'known'
      else throw error
      return
    }
    if (this.session.signedIn) this.#in()
    else this.as = 'registered'
  }

  async #decline(): Promise<void> {
    await this.session.open('/invitations/decline', { token: this.token })
    this.as = 'declined'
  }

  #in(): void {
    replaceHash('#/')
    this.dispatchEvent(new Event('signed-in'))
  }

  async #leave(): Promise<void> {
    await this.session.signOut()
    this.requestUpdate()
  }

  protected override render(): TemplateResult {
    const { offer, session } = this
    if (!offer) {
      return front('Invitation', html`${this.#form.said()}${this.#form.busy ? nothing : html`<a class="button" href="#/">To the first page</a>`}`)
    }
    if (this.as === 'declined') return front('Declined', html`<p role="status">You have declined the invitation to ${offer.tenant}.</p>`)
    if (this.as === 'registered') return front('Look into your mail', html`<p role="status">Follow the link in it, then open this invitation again.</p>`)
    if (this.as === 'known' && !session.signedIn) {
      return html`<atrium-sign-in .session=${session} lead="Sign in to join ${offer.tenant}." @signed-in=${() => this.requestUpdate()}></atrium-sign-in>`
    }
    return front(`Join ${offer.tenant}`, html`${this.#form.said()}${session.signedIn ? this.#joinAs(session) : this.#newcomer(offer)}
      <nav class="ways" aria-label="Other ways">
        ${session.signedIn ? html`<button class="link" @click=${() => this.#leave()}>I am somebody else</button>` : html`<button class="link" @click=${() => (this.as = 'known')}>I have an account</button>`}
        ${offer.email ? html`<button class="link" @click=${() => this.#form.run(() => this.#decline())}>Decline</button>` : nothing}
      </nav>`, { lead: leadOf(offer), look: offer.branding })
  }

  #joinAs(session: Session): TemplateResult {
    const form = this.#form
    return html`<form @submit=${(event: SubmitEvent) => form.submit(event, () => this.#accept())}>
      <button class="primary" ?disabled=${form.off}>Join as ${session.user?.name}</button>
    </form>`
  }

  #newcomer({ name, email }: Offer): TemplateResult {
    const form = this.#form
    return html`<form @submit=${(event: SubmitEvent) => form.submit(event, (values) => this.#register(values))}>
      ${form.field('name', 'Your name', { value: name, autocomplete: 'name', maxlength: 200, required: true })}
      ${form.field('email', 'Email', { type: 'email', value: email ?? '', readonly: Boolean(email), autocomplete: 'username', required: true })}
      ${form.field('password', 'Choose a password', { type: 'password', autocomplete: 'new-password', required: true })}
      <button class="primary" ?disabled=${form.off}>Join</button>
    </form>`
  }
}

function leadOf({ inviter, role, expires_at }: Offer): string {
  const until = expires_at ? ` until ${dateOf(expires_at)}` : ''
  return `${inviter} invites you as ${nameOf(role).toLowerCase()}${until}.`
}

function refusal(error: WireError): string | undefined {
  if (error.field_errors?.token) return 'This invitation was used, withdrawn or has expired. Please ask for a new one.'
  if (reasonOf(new Refused(error)) === 'another_address') return 'This invitation is for another address than that of your account.'
  return undefined
}
