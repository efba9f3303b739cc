if(TARGET cnnbn-eval)
  cnnbn_add_script_test(cli-eval test_eval.sh LABELS cli mpi)
endif()
