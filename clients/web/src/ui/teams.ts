import { html, nothing, type TemplateResult } from 'lit'
import { customElement, property } from 'lit/decorators.js'

import { nameOf } from '../roles'
import type { Session } from '../session'
import type { Me } from './account'
import { Form } from './form'
import { LightElement } from './light'

/** The teams that one works for; `moved` is fired, from here up, when one goes to another. */
@customElement('atrium-teams')
export class Teams extends LightElement {
  @property({ attribute: false }) session!: Session
  @property({ attribute: false }) me!: Me
  readonly #form = new Form(this)

  async #switch(tenantId: string): Promise<void> {
    this.session.adopt(await this.session.call('POST', `/tenants/${tenantId}/switch`, {}))
    location.hash = '#/'
    this.dispatchEvent(new CustomEvent('moved', { bubbles: true, detail: '' }))
  }

  protected override render(): TemplateResult | typeof nothing {
    const { memberships } = this.me
    const here = this.session.tenant?.id
    if (memberships.every(({ tenant_id }) => tenant_id === here)) return nothing
    return html`<section class="sheet" aria-labelledby="teams-title">
      <h2 id="teams-title">Teams</h2>
      ${this.#form.said()}
      <ul class="rows">
        ${memberships.map(
          ({ tenant_id, name, role }) => html`<li class="row">
            <div class="row-main"><strong>${name}</strong><span class="field-hint">${nameOf(role)}</span></div>
            ${tenant_id === here
              ? html`<span class="chip feature">You are here</span>`
              : html`<button class="small" aria-label="Go to ${name}" @click=${() => this.#form.run(() => this.#switch(tenant_id))}>Go there</button>`}
          </li>`,
        )}
      </ul>
    </section>`
  }
}
