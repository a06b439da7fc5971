import { html, type TemplateResult } from 'lit'

const SHOWN_MS = 2_000

/** A button that copies a text and says so for a moment. */
export function copyButton(text: string, label: string): TemplateResult {
  const copy = async (event: Event): Promise<void> => {
    const button = event.currentTarget as HTMLElement
    await copyText(text)
    button.textContent = 'Copied'
    setTimeout(() => (button.textContent = label), SHOWN_MS)
  }
  return html`<button type="button" class="small" @click=${copy} .textContent=${label}></button>`
}

/** On plain http there is no clipboard to write to, but a selection can be copied. */
async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  const area = document.createElement('textarea')
  area.value = text
  document.body.append(area)
  area.select()
  document.execCommand('copy')
  area.remove()
}
