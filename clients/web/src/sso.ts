/** A provider that people may sign in with, as the server names it. */
export interface Issuer {
  id: string
  name: string
  /** A tenant lets its people in by this way only. */
  required: boolean
}

const NOT_IN: Record<string, string> = {
  access_denied: 'The sign-in was not completed.',
  expired: 'That took too long, or was begun in another browser. Please try again.',
  unavailable: 'The provider cannot be reached at the moment. Please try again later.',
  email_not_verified: 'The provider does not say that the email address is yours.',
  no_account: 'There is no account here for that person. Ask for an invitation.',
  not_a_member: 'You are not a member of that team. Ask for an invitation.',
  domain_not_allowed: 'That provider does not speak for your email address.',
  other_identity: 'Your account is linked to somebody else at that provider.',
  link_needed: 'Sign in with your password, and link that provider to your account first.',
  sso_required: 'Your team lets people in by its own sign-in only. Please use its button.',
}

/** Why nobody came in, by the reason in the address or in the refusal. */
export function notSignedIn(reason: string): string {
  return NOT_IN[reason] ?? 'The provider did not say who you are. Please try again.'
}

/** The providers of this server, and with an address those of its domain. */
export async function issuers(email = '', base = ''): Promise<Issuer[]> {
  try {
    const response = await fetch(`${base}/api/v1/auth/oidc/issuers${email && `?${new URLSearchParams({ email })}`}`)
    const reply = (await response.json()) as { success: boolean; data?: { issuers?: Issuer[] } }
    return (reply.success && reply.data?.issuers) || []
  } catch {
    return []
  }
}

/** Where the browser goes to sign in there; it comes back to this page, with `#/signed-in`. */
export function startOf({ id }: Issuer): string {
  return `/api/v1/auth/oidc/${encodeURIComponent(id)}/start?return_to=/`
}
