// SPDX-License-Identifier: Apache-2.0
// Holds a pod's namespaces open: waits for its end and takes the exit status of orphans.
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

static void leave(int number)
{
	(void)number;
	_exit(0);
}

static void reap(int number)
{
	(void)number;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

int main(void)
{
	signal(SIGTERM, leave);
	signal(SIGINT, leave);
	signal(SIGCHLD, reap);
	for (;;)
		pause();
}
