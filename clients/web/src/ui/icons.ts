import { html, svg, type SVGTemplateResult, type TemplateResult } from 'lit'

function icon(paths: SVGTemplateResult, box = 16): TemplateResult {
  return html`<svg class="icon" viewBox="0 0 ${box} ${box}" aria-hidden="true">${paths}</svg>`
}

export const mark = html`<svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
  <rect width="32" height="32" rx="8" />
  <path d="M7.5 24V15.5a8.5 8.5 0 0 1 17 0V24" stroke-width="3" />
  <path d="M13 24v-7.5a3 3 0 0 1 6 0V24" stroke-width="2.4" opacity=".7" />
</svg>`

export const plus = icon(svg`<path d="M8 3v10M3 8h10" />`)
export const cross = icon(svg`<path d="m4 4 8 8m0-8-8 8" />`)
export const calendar = icon(svg`<rect x="2.5" y="3.5" width="11" height="10" rx="2" /><path d="M2.5 6.5h11M5.5 2v3m5-3v3" />`)
export const bin = icon(svg`<path d="M3 4.5h10M6.5 4V2.8h3V4m-5 .5.6 8.2a1 1 0 0 0 1 .8h3.8a1 1 0 0 0 1-.8l.6-8.2" />`)
export const lines = icon(svg`<path d="M3 4.5h10M3 8h10M3 11.5h6" />`)
export const door = icon(svg`<path d="M6.5 2.8H4a1.2 1.2 0 0 0-1.2 1.2v8A1.2 1.2 0 0 0 4 13.2h2.5M10 5l3 3-3 3m3-3H6.5" />`)
export const people = icon(svg`<circle cx="6" cy="5.5" r="2.3" /><path d="M2 13c.3-2.6 1.9-4 4-4s3.7 1.4 4 4M10.5 3.5a2.2 2.2 0 0 1 0 4M12 9.5c1.2.6 1.9 1.8 2 3.5" />`)
export const bubble = icon(svg`<path d="M3 3.5h10a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1H8l-3 2.5v-2.5H3a1 1 0 0 1-1-1v-6a1 1 0 0 1 1-1Z" />`)
export const hourglass = icon(svg`<path d="M4.5 2.5h7M4.5 13.5h7M5 2.5c0 3 6 4.5 6 0m-6 11c0-3 0-4 3-5.500s3-2.500 3-5.500m-6 0c0 3 0 4 3 5.500s3 2.500 3 5.500" />`)
export const ticked = icon(svg`<rect x="2.5" y="2.5" width="11" height="11" rx="2.500" /><path d="m5.500 8.200 2 2 3.500-4" />`)
export const branch = icon(svg`<path d="M4 2.500v6a2 2 0 0 0 2 2h6M10 8l2.500 2.500L10 13" />`)
export const chevron = icon(svg`<path d="m6 3.5 4.5 4.5L6 12.5" />`)

/** Four bars, filled to the priority. */
export function bars(filled: number): TemplateResult {
  return html`<svg class="bars" viewBox="0 0 14 12" aria-hidden="true">
    ${[0, 1, 2, 3].map((n) => svg`<rect class=${n < filled ? 'on' : ''} x=${n * 3.6} y=${8 - n * 2.4} width="2.6" height=${4 + n * 2.4} rx="1" />`)}
  </svg>`
}
