"""Who may use the listeners, and whose each client is: tokens, client certificates, addresses, Kubernetes' pods."""
