import { html, nothing, type TemplateResult } from 'lit'
import { customElement, state } from 'lit/decorators.js'
import { repeat } from 'lit/directives/repeat.js'

import { cross } from './icons'
import { LightElement } from './light'

interface Toast {
  id: number
  text: string
  tone: 'plain' | 'problem'
  action: { label: string; run: () => void } | null
}

const SHOWN_MS = 8_000
const AT_ONCE = 4

/** Short messages in a corner, the newest below; read out by screen readers. */
@customElement('atrium-toasts')
export class Toasts extends LightElement {
  @state() private toasts: Toast[] = []
  #next = 0

  show(text: string, { tone = 'plain' as Toast['tone'], action = null as Toast['action'] } = {}): void {
    // The same problem twice in a row is one message.
    const toast = { id: this.#next++, text, tone, action }
    this.toasts = [...this.toasts.filter((other) => other.text !== text), toast].slice(-AT_ONCE)
    setTimeout(() => this.#dismiss(toast.id), SHOWN_MS)
  }

  #dismiss(id: number): void {
    this.toasts = this.toasts.filter((toast) => toast.id !== id)
  }

  protected override render(): TemplateResult {
    return html`<div class="toasts" role="status" aria-live="polite">
      ${repeat(this.toasts, (toast) => toast.id, (toast) => this.#toast(toast))}
    </div>`
  }

  #toast({ id, text, tone, action }: Toast): TemplateResult {
    const act = (): void => {
      this.#dismiss(id)
      action?.run()
    }
    return html`<div class="toast ${tone}">
      <span>${text}</span>
      ${action ? html`<button class="toast-action" @click=${act}>${action.label}</button>` : nothing}
      <button class="quiet icon-only" aria-label="Dismiss" @click=${() => this.#dismiss(id)}>${cross}</button>
    </div>`
  }
}
