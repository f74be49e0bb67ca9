"""The Kubernetes webhook that puts the sidecar into pods. What a chart needs to know:

Command    skinflint injector --cert /tls/tls.crt --key /tls/tls.key --config /config/injector.yaml
           [--listen 0.0.0.0:8443] [--linger 5]; [::]:8443 where the cluster has IPv6 only. Arguments
           are the image's `args`, its entry point being `skinflint`. It writes nothing to disk: the root may be
           read-only, the user 1337.
Port       8443, TLS 1.2 or newer only. POST /mutate is the webhook's `clientConfig.service.path`; GET /livez, /readyz
           and /metrics are on the same port, so probes say `scheme: HTTPS`. The certificate's name is
           `<service>.<namespace>.svc`.
Webhook    rules: operations [CREATE], apiGroups [""], apiVersions [v1], resources [pods]; admissionReviewVersions [v1];
           sideEffects None; reinvocationPolicy IfNeeded; timeoutSeconds 5. Selectors: label `skinflint.dev/inject`,
           "enabled" on namespaces, "true" or "false" on pods. The API server is told nothing else, and asked nothing.
Files      certificate, key and settings are looked at once a second and taken without a restart; whole directories must
           be mounted, not single files by subPath, or the kubelet does not renew them. SIGTERM: /readyz says 503, the
           webhook goes on for --linger seconds, answers what is in hand (5 s at most), and ends with 0.
Settings   YAML, every key of config/injector.py (InjectorSettings); only `image` is required:

               image: registry.example/skinflint:1.0        # image_pull_policy, image_pull_secrets: [name]
               redirect_image: null                         # needs `nft`; null: the same image
               mode: hosts                                  # hosts, env or redirect, of pods that name none
               ipv6: true
               hosts: [my-resource.openai.azure.com]        # exact names, in mode hosts
               no_proxy: [.svc, .cluster.local]             # in mode env
               exclude_cidrs: [169.254.169.254/32]          # in mode redirect
               system_store: false
               labels: {team: example.com/team}             # label of a call: label of the pod
               settings: {cache: {sampling: any}}           # the proxy's, without listeners, admin, data_dir, trust_dir
               env: {NAME: value}                           # of the sidecar
               secret_env: {SKINFLINT_LEDGER__URL: {name: skinflint, key: ledger-url, optional: false}}
               secret_files: {redis: {name: skinflint, items: {ca.crt: redis-ca}}}  # files in /etc/skinflint/redis
               resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 512Mi}}
               admin_host: 0.0.0.0                          # or "[::]"
               ports: {proxy: 19180, redirect: 19181, admin: 19190}
               startup_s: 120

Injected   initContainers[0] is `skinflint` (restartPolicy Always; in mode redirect `skinflint-redirect` before it),
           with the port `skinflint-admin` for a PodMonitor; annotation `skinflint.dev/status`.

Parts: patch.py decides (pure), with a file an idea beside it; review.py speaks AdmissionReview; webhook.py serves;
certs.py renews; process.py is the process around them.
"""
