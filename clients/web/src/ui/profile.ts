import { html, type TemplateResult } from 'lit'
import { customElement, property } from 'lit/decorators.js'

import type { Session } from '../session'
import { applyTheme } from '../theme'
import type { Me } from './account'
import { avatar } from './avatar'
import { Form, type Values } from './form'
import { LightElement } from './light'

const LANGUAGES = [['en', 'English'], ['de', 'Deutsch'], ['fr', 'Français'], ['es', 'Español'], ['it', 'Italiano'], ['nl', 'Nederlands'], ['pt', 'Português'], ['pl', 'Polski'], ['ja', '日本語'], ['zh', '中文']] as const
const THEMES = [
  { value: 'auto', label: 'As the device' },
  { value: 'light', label: 'Light' },
  { value: 'dark', label: 'Dark' },
]

/** Name, picture, language, time zone and theme. Fires `saved`. */
@customElement('atrium-profile')
export class ProfileForm extends LightElement {
  @property({ attribute: false }) session!: Session
  @property({ attribute: false }) me!: Me
  readonly #form = new Form(this)

  async #save({ avatar_url, ...rest }: Values): Promise<string> {
    const { user } = (await this.session.call('PUT', '/auth/me', { ...rest, avatar_url: avatar_url || null })) as unknown as Pick<Me, 'user'>
    this.session.rename(user)
    applyTheme(user.theme)
    this.dispatchEvent(new Event('saved'))
    return 'Saved.'
  }

  protected override render(): TemplateResult {
    const { user } = this.me
    const form = this.#form
    return html`<section class="sheet" aria-labelledby="profile-title">
      <h2 id="profile-title">${avatar(user)} Profile</h2>
      <form class="two" @submit=${(event: SubmitEvent) => form.submit(event, (values) => this.#save(values))}>
        ${form.field('name', 'Name', { value: user.name, autocomplete: 'name', maxlength: 200, required: true })}
        ${form.field('avatar_url', 'Address of a picture', { type: 'url', value: user.avatar_url ?? '', placeholder: 'https://', hint: 'Other programs show it. This page loads nothing from elsewhere and shows initials.' })}
        ${form.field('language', 'Language', { value: user.language, choices: withOwn(LANGUAGES.map(([value, label]) => ({ value, label })), user.language) })}
        ${form.field('timezone', 'Time zone', { value: user.timezone, choices: withOwn(Intl.supportedValuesOf('timeZone').map((value) => ({ value, label: value.replaceAll('_', ' ') })), user.timezone) })}
        ${form.field('theme', 'Theme', { value: user.theme, choices: THEMES })}
        <div class="form-end">${form.said()}<button class="primary" ?disabled=${form.off}>Save</button></div>
      </form>
      <p class="field-hint">You sign in as ${user.email}.</p>
    </section>`
  }
}

/** The choices, and what is chosen already even if it is none of them. */
function withOwn(choices: { value: string; label: string }[], own: string): { value: string; label: string }[] {
  return choices.some(({ value }) => value === own) ? choices : [{ value: own, label: own }, ...choices]
}
