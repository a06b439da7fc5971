import { LitElement } from 'lit'

/** An element without a shadow root, so that one set of style sheets dresses the whole page. */
export class LightElement extends LitElement {
  protected override createRenderRoot(): HTMLElement {
    return this
  }
}
