"""Who may see and operate the service: logins, sessions, CSRF tokens, headers, and the base of all pages."""
