import { html, type TemplateResult } from 'lit'

import { copyButton } from './copy'

/** The codes, shown this once. */
export function recoveryCodes(codes: string[]): TemplateResult {
  return html`<div class="codes" role="status">
    <p><strong>Keep these recovery codes.</strong> Each lets you in once when the phone or key is lost. They are not shown again.</p>
    <ul>${codes.map((code) => html`<li><code>${code}</code></li>`)}</ul>
    ${copyButton(codes.join('\n'), 'Copy the codes')}
  </div>`
}
