import { html, type TemplateResult } from 'lit'

import { copyButton } from './copy'

/** A link that is shown this once, with a button to take it along. */
export function linkBox(link: string): TemplateResult {
  return html`<div class="link-box" role="status">
    <label>Link, shown this once <input readonly value=${link} @focus=${(event: Event) => (event.target as HTMLInputElement).select()} /></label>
    ${copyButton(link, 'Copy the link')}
  </div>`
}
