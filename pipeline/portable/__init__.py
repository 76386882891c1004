"""What engines in Java need alike: job-server jar, job server, worker processes, one line out of their traces."""
