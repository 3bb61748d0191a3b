/** Shell text for the root of a host. Everything that is said to us stands on standard output as `name value`. */

/** How {@link armScript} exits when it changed nothing. */
export const NO_SSHD_CONFIG = 64
/** There is no directory of drop-in files that the configuration includes. */
export const NO_DROP_IN = 65
/** sshd refuses the configuration with the drop-in file; the reason is on standard error. */
export const REFUSED = 66
/** Something that comes before the drop-in file says otherwise; what, is on standard error. */
export const OVERRIDDEN = 67
/** What was armed is not there any more: it was undone. */
export const UNDONE = 75

/** Name of our drop-in file: in sshd_config the first value counts, so it comes before those of the system. */
const DROP_IN = '00-remex.conf'

/**
 * Finds the sshd that serves this very session: its process, its program and its configuration file. Walks up from us through the
 * processes of sshd; the uppermost one listens. One that was started for this connection alone (inetd) reads its configuration anew each
 * time. Sets `top` (empty where nothing is to be told to reload), `conf` and `sshd`.
 */
const FIND_SSHD = `
conf=/etc/ssh/sshd_config; sshd=; top=; p=$$
while [ "$p" -gt 1 ] 2>/dev/null && [ -r "/proc/$p/status" ]; do
  case $(cat "/proc/$p/comm") in sshd*) top=$p;; *) [ -z "$top" ] || break;; esac
  p=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$p/status")
done
if [ -n "$top" ]; then
  args=$(tr '\\0' ' ' <"/proc/$top/cmdline")
  sshd=$(readlink "/proc/$top/exe"); sshd=\${sshd% (deleted)}
  set -f; last=
  for word in $args; do
    case $last in -f) conf=$word;; esac
    case $word in -f?*) conf=\${word#-f};; esac
    last=$word
  done
  set +f
  case $args in *'[priv]'*|*'[accepted]'*|*' -i '*) top=;; esac
fi
[ -x "$sshd" ] || sshd=$(command -v sshd || echo /usr/sbin/sshd)
[ -r "$conf" ] && [ -x "$sshd" ] || exit ${NO_SSHD_CONFIG}
`

/** Puts the drop-in file back as it was before, and lets sshd read that. */
const RESTORE = `if [ -e "$d/before" ]; then cp -p "$d/before" "$file"; else rm -f "$file"; fi; [ -z "$top" ] || kill -HUP "$top"`

/** Undoes everything unless it was confirmed in time: it runs on the host, so it does so without us too. Whoever moves `armed` away decides. */
const WATCH = `n=0
while [ "$n" -lt "$seconds" ]; do sleep 1; n=$((n+1)); [ -d "$d/armed" ] || exit 0; done
mv "$d/armed" "$d/undone" 2>/dev/null || exit 0
${RESTORE}`

/**
 * Writes the drop-in file, lets sshd judge it, starts the watch, and reloads. Prints `state` and the directory to confirm or undo with,
 * or `already` where nothing had to be changed. Nothing is changed where it exits otherwise than by 0.
 */
export function armScript(seconds: number): string {
  return `umask 077
${FIND_SSHD}
include=$(sed -n '/^[[:space:]]*[Mm][Aa][Tt][Cc][Hh][[:space:]]/q; s/^[[:space:]]*[Ii][Nn][Cc][Ll][Uu][Dd][Ee][[:space:]]\\{1,\\}"\\{0,1\\}\\([^" ]*\\)\\/\\*\\(\\.conf\\)\\{0,1\\}"\\{0,1\\}[[:space:]]*$/\\1/p' "$conf" | head -n 1)
case $include in '') ;; /*) ;; *) include=/etc/ssh/$include;; esac
[ -n "$include" ] && [ -d "$include" ] || exit ${NO_DROP_IN}
file=$include/${DROP_IN}
effective() { "$sshd" -T -f "$conf" 2>/dev/null; }
before=$(effective)
ask=KbdInteractiveAuthentication
case $before in *challengeresponseauthentication*) ask=ChallengeResponseAuthentication;; esac
d=$(mktemp -d /run/remex-harden.XXXXXX 2>/dev/null || mktemp -d) || exit 1
{
  echo '# Written by remex keys harden: logins by key alone. To undo it: remove this file, then reload sshd.'
  echo 'PubkeyAuthentication yes'
  echo 'PasswordAuthentication no'
  echo "$ask no"
  echo 'PermitEmptyPasswords no'
  case $before in *'permitrootlogin yes'*) echo 'PermitRootLogin prohibit-password';; esac
  if [ -e "$file" ] && grep -q '^PermitRootLogin prohibit-password$' "$file"; then echo 'PermitRootLogin prohibit-password'; fi
} >"$d/new"
echo "$file" >"$d/file"
if [ -e "$file" ] && cmp -s "$d/new" "$file"; then rm -rf "$d"; echo already; exit 0; fi
[ ! -e "$file" ] || cp -p "$file" "$d/before" || exit 1
refuse() { if [ -e "$d/before" ]; then cp -p "$d/before" "$file"; else rm -f "$file"; fi; rm -rf "$d"; exit "$1"; }
cp "$d/new" "$file" && chmod 600 "$file" || refuse 1
"$sshd" -t -f "$conf" >&2 || refuse ${REFUSED}
wrong=$(effective | grep -E '^(passwordauthentication|kbdinteractiveauthentication|challengeresponseauthentication|permitemptypasswords) yes$|^pubkeyauthentication no$')
[ -z "$wrong" ] || { echo "$wrong" >&2; refuse ${OVERRIDDEN}; }
mkdir "$d/armed" || refuse 1
cat >"$d/watch" <<'REMEX_WATCH'
${WATCH}
REMEX_WATCH
session=; command -v setsid >/dev/null && session=setsid
( unset REMEX_RUN_ID; trap '' HUP; export d file top; seconds=${seconds}; export seconds; exec $session sh "$d/watch" </dev/null >/dev/null 2>&1 ) &
[ -z "$top" ] || kill -HUP "$top"
echo "state $d"
echo "file $file"
`
}

/** Says that the proof was good, so that what was armed stays; exits with {@link UNDONE} where it was undone already. */
export function confirmScript(state: string): string {
  return `d=${state}; mv "$d/armed" "$d/confirmed" 2>/dev/null || exit ${UNDONE}; rm -rf "$d"`
}

/** Undoes it at once, without waiting for the watch. */
export function undoScript(state: string): string {
  return `${FIND_SSHD}
d=${state}
mv "$d/armed" "$d/undone" 2>/dev/null || exit ${UNDONE}
file=$(cat "$d/file" 2>/dev/null)
[ -n "$file" ] || exit 1
${RESTORE}
rm -rf "$d"
`
}
