/** How a tenant wants to look. A colour is a ground, with the text colour that is read on it. */
export interface Branding {
  product_name?: string | null
  primary_color?: string | null
  primary_text_color?: string | null
  header_color?: string | null
  header_text_color?: string | null
  logo_url?: string | null
}

export const PRODUCT = 'Atrium'

/** Custom properties of the style sheet, each with the field that sets it; without a value the sheet has its own. */
const PROPERTIES = {
  '--brand': 'primary_color',
  '--brand-ink': 'primary_text_color',
  '--header': 'header_color',
  '--header-ink': 'header_text_color',
} as const

/** Give the page the look of a tenant, or its own. */
export function wear(branding: Branding | null | undefined, root: HTMLElement = document.documentElement): void {
  for (const [property, field] of Object.entries(PROPERTIES)) {
    const colour = branding?.[field]
    if (colour) root.style.setProperty(property, colour)
    else root.style.removeProperty(property)
  }
  root.toggleAttribute('data-header', Boolean(branding?.header_color))
}

export function productOf(branding: Branding | null | undefined): string {
  return branding?.product_name || PRODUCT
}

/** The look for people who have yet to sign in: that of `?tenant=<slug>`, or of the tenant with this host name. */
export async function lookOfThisPage(place: Pick<Location, 'hostname' | 'search'> = location, base = ''): Promise<Branding> {
  const slug = new URLSearchParams(place.search).get('tenant')
  const asked = new URLSearchParams(slug ? { slug } : { domain: place.hostname })
  try {
    const response = await fetch(`${base}/api/v1/branding?${asked}`)
    const reply = (await response.json()) as { success: boolean; data?: { branding?: Branding } }
    return (reply.success && reply.data?.branding) || {}
  } catch {
    return {}
  }
}
