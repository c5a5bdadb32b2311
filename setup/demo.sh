#!/bin/sh
# Runs `torture run` without options and says in words how it ended. Fails only when the run did not complete.
# Usage: demo.sh TORTURE
set -u
trap : INT

"$1" run
status=$?
case $status in
0) words='pass: nothing written through a mapping was lost' completed=yes ;;
1) words='the tool itself broke: see the message above' completed=no ;;
2) words='usage: an option was not understood' completed=no ;;
3) words='fail: a filesystem broke a promise, see the findings above' completed=yes ;;
4) words='nothing ran: every trial lacks something, see the reasons above and "torture doctor"' completed=no ;;
5) words='unknown: some trials could not be judged, which is no pass; nothing worse was found' completed=yes ;;
6) words='late and nothing worse: stores were accepted whose loss only the sync reported' completed=yes ;;
130) words='interrupted' completed=no ;;
*) words='not a code of torture: the tool was killed or could not start' completed=no ;;
esac

echo
echo "torture run ended with exit code $status: $words."
if [ $completed = no ]; then
	echo 'make demo: the run did not complete.' >&2
	exit "$status"
fi
echo 'make demo: the run completed, which is all that this target asks, whatever was found.'
