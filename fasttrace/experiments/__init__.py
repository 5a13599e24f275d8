"""What the command line runs: experiments, their figures, reports.  Nothing else imports from here."""
